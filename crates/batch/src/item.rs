//! One picture of a run, and what is asked of it.

use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// One picture, and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What its outputs are called: a relative path without an ending, as in `day1/scan`.
    pub name: String,
    /// What `predictions.csv` calls it: the name of its file, or the index of its row.
    pub label: String,
    /// The picture.
    pub image: Image,
    /// Its phrases, separated by `&`, where the manifest says them.
    pub text: Option<String>,
}

/// Where a picture is.
#[derive(Clone, PartialEq)]
pub enum Image {
    /// A file, or the folder of a DICOM series.
    File(PathBuf),
    /// A file's bytes as base64, line breaks allowed.
    Base64(String),
    /// A file's bytes.
    Bytes(Vec<u8>),
    /// The manifest's row holds none, and this is why.
    Missing(String),
}

impl std::fmt::Debug for Image {
    /// Never the pixels, which may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Base64(text) => write!(f, "Base64({} characters)", text.len()),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Missing(why) => f.debug_tuple("Missing").field(why).finish(),
        }
    }
}

/// Why a row's text is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// Characters that base64 does not have, or too few of them.
    #[error("its picture is not base64")]
    Base64,
    /// The manifest's own fault.
    #[error("{0}")]
    Missing(String),
}

/// A name that can't be the name of outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of an output: expected a relative path without \"..\"")]
pub struct NameFault(pub String);

/// Says whether an item is the one that a journal speaks of: its name, its phrases, and where its
/// picture is (of pictures inside a manifest: their bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ItemKey(pub u64);

impl Item {
    /// An item of a file; its outputs are called `name`.
    ///
    /// # Errors
    /// When the name would leave the output folder.
    pub fn of_file(name: &str, path: PathBuf, text: Option<String>) -> Result<Self, NameFault> {
        let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name: safe_name(name)?, label, image: Image::File(path), text })
    }

    /// What the journal knows it by; `default_text` is asked where the item says nothing.
    pub fn key(&self, default_text: &str) -> ItemKey {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(self.name.as_bytes());
        add(self.text.as_deref().unwrap_or(default_text).as_bytes());
        match &self.image {
            Image::File(path) => add(path.as_os_str().as_encoded_bytes()),
            Image::Base64(text) => add(text.as_bytes()),
            Image::Bytes(bytes) => add(bytes),
            Image::Missing(why) => add(why.as_bytes()),
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        ItemKey(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl Image {
    /// The bytes of a picture that the manifest holds itself; `None` for files.
    ///
    /// # Errors
    /// When it holds none.
    pub fn inline(&self) -> Result<Option<Vec<u8>>, ImageFault> {
        match self {
            Self::File(_) => Ok(None),
            Self::Base64(text) => base64_simd::forgiving_decode_to_vec(text.as_bytes())
                .map(Some)
                .map_err(|_| ImageFault::Base64),
            Self::Bytes(bytes) => Ok(Some(bytes.clone())),
            Self::Missing(why) => Err(ImageFault::Missing(why.clone())),
        }
    }
}

/// A name with `/` between its folders, or a refusal of one that leads elsewhere.
pub(crate) fn safe_name(name: &str) -> Result<String, NameFault> {
    let refuse = || NameFault(name.to_owned());
    let mut parts = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(refuse)?),
            Component::CurDir => {}
            _ => return Err(refuse()),
        }
    }
    if parts.is_empty() || name.chars().any(char::is_control) {
        return Err(refuse());
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_output_folder() {
        for (name, expected) in [
            ("scan", Some("scan")),
            ("./day1//scan", Some("day1/scan")),
            ("a b+c.2", Some("a b+c.2")),
        ] {
            assert_eq!(safe_name(name).ok().as_deref(), expected, "{name}");
        }
        for name in ["", ".", "..", "a/../../b", "/etc/passwd", "a\nb"] {
            let error = safe_name(name).unwrap_err().to_string();
            assert!(error.contains("expected a relative path"), "{error}");
        }
    }

    #[test]
    fn a_key_follows_name_picture_and_phrases() {
        let item = |name: &str, path: &str, text: Option<&str>| {
            Item::of_file(name, path.into(), text.map(str::to_owned)).unwrap().key("liver")
        };
        let key = item("a", "x/a.png", None);
        assert_eq!(key, item("a", "x/a.png", Some("liver")));
        let others = [
            item("b", "x/a.png", None),
            item("a", "y/a.png", None),
            item("a", "x/a.png", Some("b")),
        ];
        assert!(others.iter().all(|other| *other != key));
    }

    #[test]
    fn base64_comes_with_and_without_line_breaks() {
        for text in ["aGVsbG8=", "aGVs\nbG8=\n", "aGVsbG8"] {
            assert_eq!(Image::Base64(text.into()).inline().unwrap().unwrap(), b"hello");
        }
        assert_eq!(Image::Base64("a*b".into()).inline(), Err(ImageFault::Base64));
        assert_eq!(format!("{:?}", Image::Base64("abcd".into())), "Base64(4 characters)");
    }
}
