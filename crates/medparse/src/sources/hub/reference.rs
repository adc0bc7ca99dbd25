//! `hub:owner/name[@revision][/path/in/repository]`: which model is meant.

use std::fmt;
use std::str::FromStr;

/// The branch that a reference without `@revision` means.
const DEFAULT_REVISION: &str = "main";

/// The longest owner or name the hub gives out.
const LONGEST_NAME: usize = 96;

/// A model on the hub, or one file of it.
///
/// ```
/// use medparse::sources::hub::HubReference;
///
/// let reference: HubReference = "hub:lab/model@v1.2/weights/best.safetensors".parse()?;
/// assert_eq!(reference.repository(), "lab/model");
/// assert_eq!(reference.revision, "v1.2");
/// assert_eq!(reference.file.as_deref(), Some("weights/best.safetensors"));
/// # Ok::<(), medparse::sources::hub::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HubReference {
    /// The user or organisation.
    pub owner: String,
    /// The repository's name.
    pub name: String,
    /// A branch, a tag or a commit; `main` where none was named. In text a `/` in it is written `%2F`.
    pub revision: String,
    /// The file's path in the repository; none means its one model file.
    pub file: Option<String>,
}

/// What is wrong with the text of a [`HubReference`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The text does not begin with `hub:`.
    #[error(
        "{text:?} is no hub reference: expected hub:owner/name[@revision][/path/in/repository]"
    )]
    NoPrefix {
        /// The whole text.
        text: String,
    },
    /// There is no `/` between an owner and a name.
    #[error(
        "{text:?} names no repository: expected hub:owner/name, found no '/' between owner and name"
    )]
    NoName {
        /// The whole text.
        text: String,
    },
    /// Owner, name, revision or path breaks a rule.
    #[error("{part} {value:?} of the hub reference {rule}")]
    Part {
        /// Which part: "the owner", "the name", "the revision" or "the path".
        part: &'static str,
        /// The part's text.
        value: String,
        /// The rule it breaks, as in "PART VALUE …".
        rule: &'static str,
    },
}

impl HubReference {
    /// `owner/name`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

impl FromStr for HubReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bare = text
            .strip_prefix("hub:")
            .ok_or_else(|| ReferenceError::NoPrefix { text: text.into() })?;
        let (owner, rest) =
            bare.split_once('/').ok_or_else(|| ReferenceError::NoName { text: text.into() })?;
        let (head, file) = match rest.split_once('/') {
            Some((head, file)) => (head, Some(file)),
            None => (rest, None),
        };
        let (name, revision) = match head.split_once('@') {
            Some((name, revision)) => (name, revision.replace("%2F", "/").replace("%2f", "/")),
            None => (head, DEFAULT_REVISION.to_owned()),
        };
        part("the owner", owner, check_name)?;
        part("the name", name, check_name)?;
        part("the revision", &revision, check_revision)?;
        if let Some(file) = file {
            part("the path", file, check_path)?;
        }
        Ok(Self { owner: owner.into(), name: name.into(), revision, file: file.map(Into::into) })
    }
}

impl fmt::Display for HubReference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "hub:{}/{}", self.owner, self.name)?;
        if self.revision != DEFAULT_REVISION {
            write!(out, "@{}", self.revision.replace('/', "%2F"))?;
        }
        match &self.file {
            Some(file) => write!(out, "/{file}"),
            None => Ok(()),
        }
    }
}

/// Puts a broken rule beside the part that breaks it.
fn part(
    part: &'static str,
    value: &str,
    check: fn(&str) -> Result<(), &'static str>,
) -> Result<(), ReferenceError> {
    check(value).map_err(|rule| ReferenceError::Part { part, value: value.to_owned(), rule })
}

/// The hub's rule for owners and names; `--` is what the cache joins them with.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > LONGEST_NAME {
        return Err("is longer than 96 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err("may hold letters A to Z, digits, '-', '_' and '.' only");
    }
    if name.starts_with(['-', '.']) || name.ends_with(['-', '.']) {
        return Err("may neither begin nor end with '-' or '.'");
    }
    if name.contains("--") || name.contains("..") {
        return Err("may not hold '--' or '..'");
    }
    Ok(())
}

/// The characters of git's references that need no quoting, and no way out of the cache's `refs` folder.
fn check_revision(revision: &str) -> Result<(), &'static str> {
    if revision.is_empty() {
        return Err("is empty");
    }
    if revision.len() > 255 {
        return Err("is longer than 255 characters");
    }
    if !revision.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte)) {
        return Err("may hold letters A to Z, digits, '-', '_', '.', '+' and %2F only");
    }
    if revision
        .split('/')
        .any(|piece| piece.is_empty() || piece.starts_with('.') || piece.ends_with('.'))
    {
        return Err("has a piece that is empty or begins or ends with '.'");
    }
    Ok(())
}

/// Whether a path, typed or told by a server, stays inside the repository's folder on every system.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.chars().any(|letter| letter.is_control() || matches!(letter, '\\' | ':')) {
        return Err("may not hold '\\', ':' or control characters");
    }
    if path.split('/').any(|piece| matches!(piece, "" | "." | "..")) {
        return Err("must be relative, without empty pieces, '.' or '..'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_writes_it_back() {
        struct Case {
            text: &'static str,
            parts: (&'static str, &'static str, &'static str, Option<&'static str>),
        }
        let cases = [
            Case { text: "hub:lab/model", parts: ("lab", "model", "main", None) },
            Case { text: "hub:lab/model/a.pt", parts: ("lab", "model", "main", Some("a.pt")) },
            Case {
                text: "hub:lab/my_model-2.0@v1/w/a b@2.pt",
                parts: ("lab", "my_model-2.0", "v1", Some("w/a b@2.pt")),
            },
            Case { text: "hub:l/m@refs%2Fpr%2F1", parts: ("l", "m", "refs/pr/1", None) },
            Case {
                text: "hub:l/m@refs%2Fpr%2F1/ü.pt",
                parts: ("l", "m", "refs/pr/1", Some("ü.pt")),
            },
        ];
        for Case { text, parts: (owner, name, revision, file) } in cases {
            let read: HubReference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let expected = HubReference {
                owner: owner.into(),
                name: name.into(),
                revision: revision.into(),
                file: file.map(Into::into),
            };
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_string(), text);
        }
        let main: HubReference = "hub:lab/model@main".parse().unwrap();
        assert_eq!(main.to_string(), "hub:lab/model");
    }

    #[test]
    fn says_which_part_breaks_which_rule() {
        let long = format!("hub:{}/m", "a".repeat(97));
        let cases = [
            ("lab/model", "expected hub:owner/name"),
            ("", "expected hub:owner/name"),
            ("hub:model", "found no '/'"),
            ("hub:/model", "the owner \"\" of the hub reference is empty"),
            ("hub:lab/", "the name \"\" of the hub reference is empty"),
            ("hub:lab//a.pt", "the name \"\" of the hub reference is empty"),
            ("hub:../model", "the owner"),
            ("hub:lab/..", "the name"),
            ("hub:lab/mo del", "letters A to Z"),
            ("hub:lab/a--b", "may not hold '--'"),
            ("hub:lab/.git", "begin"),
            ("hub:lab/model?x=1", "letters A to Z"),
            (long.as_str(), "longer than 96"),
            ("hub:lab/model@", "the revision \"\" of the hub reference is empty"),
            ("hub:lab/model@..%2F..%2Fetc", "the revision"),
            ("hub:lab/model@%2Fetc", "the revision"),
            ("hub:lab/model@a b", "the revision"),
            ("hub:lab/model/", "the path \"\" of the hub reference is empty"),
            ("hub:lab/model/../../a.pt", "'..'"),
            ("hub:lab/model//etc/passwd", "relative"),
            ("hub:lab/model/a\\..\\b.pt", "control characters"),
            ("hub:lab/model/C:x.pt", "control characters"),
            ("hub:lab/model/a\n.pt", "control characters"),
        ];
        for (text, words) in cases {
            let error = text.parse::<HubReference>().expect_err(text).to_string();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
