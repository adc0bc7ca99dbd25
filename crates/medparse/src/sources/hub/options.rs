//! How the hub is reached: address, token, cache, proxies, patience; from the variables Python's hub client reads.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::error::HubError;
use super::proxy::Proxies;

/// The public hub.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Whether a connection may be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The hub is asked.
    #[default]
    Online,
    /// Only the cache is looked at.
    Offline,
}

/// A hub token, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as typed or read: line ends and spaces around it go; none where nothing is left.
    ///
    /// # Errors
    ///
    /// [`HubError::Setting`] where it holds a character that no token has.
    pub fn new(text: &str) -> Result<Option<Self>, HubError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HubError::Setting {
                setting: "the hub token".into(),
                problem: "holds a space or a character outside ASCII; expected hf_ and letters and digits".into(),
            });
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(hidden)")
    }
}

/// How long silence is borne; a slow download that keeps moving never times out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until a connection stands, name look-up and TLS included.
    pub connect: Duration,
    /// Until an answer's first lines are here.
    pub response: Duration,
    /// Between two arrivals of bytes.
    pub read: Duration,
}

impl Default for Timeouts {
    /// 10 s, 30 s and 30 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(30),
            read: Duration::from_secs(30),
        }
    }
}

/// How often a broken connection or a busy hub (status 429 or 5xx) is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Further tries after the first; a download that moved on counts from zero again.
    pub times: u32,
    /// The pause before the first further try, doubled before each next one.
    pub pause: Duration,
}

impl Default for Retry {
    /// Four further tries after 1, 2, 4 and 8 s.
    fn default() -> Self {
        Self { times: 4, pause: Duration::from_secs(1) }
    }
}

/// How the hub is reached and where its files are kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// The hub's address, `https://huggingface.co` unless a mirror is used.
    pub endpoint: String,
    /// The token for private and gated repositories.
    pub token: Option<Token>,
    /// Whether a connection may be opened.
    pub access: Access,
    /// The cache folder, in the layout of Python's `huggingface_hub`.
    pub cache: PathBuf,
    /// The proxies in between.
    pub proxies: Proxies,
    /// A PEM file with the certificate authorities to trust instead of Mozilla's, for networks that inspect TLS.
    pub authorities: Option<PathBuf>,
    /// How long silence is borne.
    pub timeouts: Timeouts,
    /// How often a broken connection is tried again.
    pub retry: Retry,
}

impl HubOptions {
    /// The public hub without token, proxy or environment, with files kept in `cache`.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            access: Access::Online,
            cache: cache.into(),
            proxies: Proxies::default(),
            authorities: None,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
        }
    }

    /// Reads the process's environment; see [`HubOptions::from_variables`].
    ///
    /// # Errors
    ///
    /// As [`HubOptions::from_variables`].
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// Reads the variables that Python's `huggingface_hub` reads, with its defaults.
    ///
    /// | what | variables, first one set wins |
    /// |---|---|
    /// | address | `HF_ENDPOINT` |
    /// | token | `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, the file `HF_TOKEN_PATH`, the file `HF_HOME/token`; none of them with `HF_HUB_DISABLE_IMPLICIT_TOKEN=1` |
    /// | offline | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` (1, on, yes, true) |
    /// | cache | `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME/hub` |
    /// | `HF_HOME` unset | `XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
    /// | proxies | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` |
    /// | authorities | `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` |
    /// | patience in s | `HF_HUB_ETAG_TIMEOUT` for an answer, `HF_HUB_DOWNLOAD_TIMEOUT` between bytes |
    ///
    /// # Errors
    ///
    /// [`HubError::Setting`] where a value cannot be used or no home folder is known, [`HubError::Cache`] where the
    /// token file cannot be read.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()))
        };
        let is_on = |names: &[&str]| first(names).is_some_and(|value| is_true(&value));
        let home = first(&["HOME", "USERPROFILE"]);
        let folder = |names: &[&str]| first(names).map(|text| expand_home(&text, home.as_deref()));

        let hub_home = folder(&["HF_HOME"])
            .or_else(|| folder(&["XDG_CACHE_HOME"]).map(|cache| cache.join("huggingface")))
            .or_else(|| {
                home.as_ref().map(|home| PathBuf::from(home).join(".cache").join("huggingface"))
            });
        let cache = folder(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
            .or_else(|| hub_home.as_ref().map(|home| home.join("hub")))
            .ok_or_else(|| HubError::Setting {
                setting: "the hub's cache folder".into(),
                problem: "is unknown, as there is no home folder; set HF_HOME or HF_HUB_CACHE"
                    .into(),
            })?;
        let token = if is_on(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) {
            None
        } else if let Some(text) = first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
            Token::new(&text)?
        } else {
            let file =
                folder(&["HF_TOKEN_PATH"]).or_else(|| hub_home.map(|home| home.join("token")));
            file.map(read_token).transpose()?.flatten()
        };
        let seconds = |name: &str, default: Duration| {
            first(&[name]).map_or(Ok(default), |text| parse_seconds(name, &text))
        };
        let patience = Timeouts::default();
        Ok(Self {
            endpoint: first(&["HF_ENDPOINT"]).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token,
            access: if is_on(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]) {
                Access::Offline
            } else {
                Access::Online
            },
            proxies: Proxies::from_variables(variable)?,
            authorities: folder(&["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]),
            timeouts: Timeouts {
                response: seconds("HF_HUB_ETAG_TIMEOUT", patience.response)?,
                read: seconds("HF_HUB_DOWNLOAD_TIMEOUT", patience.read)?,
                ..patience
            },
            ..Self::new(cache)
        })
    }
}

fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
}

fn expand_home(text: &str, home: Option<&str>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => PathBuf::from(home),
        (Some(rest), Some(home)) if rest.starts_with(['/', '\\']) => {
            PathBuf::from(home).join(&rest[1..])
        }
        _ => PathBuf::from(text),
    }
}

fn read_token(path: PathBuf) -> Result<Option<Token>, HubError> {
    match fs::read_to_string(&path) {
        Ok(text) => Token::new(&text),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(source) => Err(HubError::Cache { action: "read the hub token in", path, source }),
    }
}

fn parse_seconds(name: &str, text: &str) -> Result<Duration, HubError> {
    let seconds = text.trim().parse::<u64>().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| HubError::Setting {
        setting: name.into(),
        problem: format!("is {text:?}; expected a whole number of seconds above 0"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<HubOptions, HubError> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|&(k, v)| (k.into(), v.into())).collect();
        HubOptions::from_variables(&move |name| {
            variables.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone())
        })
    }

    #[test]
    fn the_cache_is_pythons() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("HOME", "/h")], "/h/.cache/huggingface/hub"),
            (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/h"), ("HF_HOME", "~/hf")], "/h/hf/hub"),
            (&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/new"),
            (&[("HOME", "/h"), ("HF_HOME", "")], "/h/.cache/huggingface/hub"),
        ];
        for (variables, cache) in cases {
            assert_eq!(options(variables).unwrap().cache, PathBuf::from(cache), "{variables:?}");
        }
        assert!(options(&[]).unwrap_err().to_string().contains("set HF_HOME"));
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let hub_home = home.path().to_str().unwrap();
        fs::write(path("token"), "hf_file\n").unwrap();
        fs::write(path("other"), " hf_other ").unwrap();
        let token = |text: &str| Token::new(text).unwrap();
        type Case = (Vec<(&'static str, String)>, Option<Token>);
        let cases: [Case; 6] = [
            (vec![], token("hf_file")),
            (vec![("HF_TOKEN", "hf_env\n".into())], token("hf_env")),
            (vec![("HUGGING_FACE_HUB_TOKEN", "hf_old".into())], token("hf_old")),
            (vec![("HF_TOKEN_PATH", path("other"))], token("hf_other")),
            (vec![("HF_TOKEN_PATH", path("missing"))], None),
            (
                vec![
                    ("HF_TOKEN", "hf_env".into()),
                    ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "TRUE".into()),
                ],
                None,
            ),
        ];
        for (mut variables, expected) in cases {
            variables.push(("HF_HOME", hub_home.into()));
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
            assert_eq!(options(&variables).unwrap().token, expected, "{variables:?}");
        }
        let error =
            options(&[("HF_HOME", hub_home), ("HF_TOKEN_PATH", hub_home)]).unwrap_err().to_string();
        assert!(error.contains("read the hub token in"), "{error}");
    }

    #[test]
    fn nothing_prints_the_token() {
        let options = options(&[("HOME", "/h"), ("HF_TOKEN", "hf_secret")]).unwrap();
        assert!(!format!("{options:?}").contains("hf_secret"));
        let error = Token::new("hf_secret hf_secret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hf_secret"));
    }

    #[test]
    fn switches_and_seconds() {
        let read = options(&[
            ("HOME", "/h"),
            ("TRANSFORMERS_OFFLINE", "on"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "7"),
        ])
        .unwrap();
        assert_eq!((read.access, read.timeouts.read), (Access::Offline, Duration::from_secs(7)));
        assert_eq!(read.endpoint, "https://huggingface.co");
        assert_eq!(
            options(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "0")]).unwrap().access,
            Access::Online
        );
        for bad in ["0", "-1", "soon"] {
            let error =
                options(&[("HOME", "/h"), ("HF_HUB_ETAG_TIMEOUT", bad)]).unwrap_err().to_string();
            assert!(error.contains("HF_HUB_ETAG_TIMEOUT") && error.contains(bad), "{error}");
        }
    }
}
