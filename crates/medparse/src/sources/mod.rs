//! Where models come from.

pub mod hub;
pub mod installed;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hub::{HubReference, ReferenceError};

/// A model's name as people write it: `bundled`, a file, or `hub:owner/name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ModelSource {
    /// The one that comes with the program.
    #[default]
    Bundled,
    /// A `.pt` or `.safetensors` file.
    File(PathBuf),
    /// A repository of the Hugging Face hub.
    Hub(HubReference),
}

impl FromStr for ModelSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Ok(match text {
            "bundled" => Self::Bundled,
            _ if text.starts_with("hub:") => Self::Hub(text.parse()?),
            _ => Self::from(PathBuf::from(text)),
        })
    }
}

impl From<PathBuf> for ModelSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled => f.write_str("bundled"),
            Self::File(path) => path.display().fmt(f),
            Self::Hub(reference) => reference.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!("bundled".parse::<ModelSource>().unwrap(), ModelSource::Bundled);
        assert!(matches!("a/b.pt".parse().unwrap(), ModelSource::File(_)));
        let hub: ModelSource = "hub:owner/name".parse().unwrap();
        assert!(matches!(hub, ModelSource::Hub(_)));
        assert_eq!(hub.to_string(), "hub:owner/name");
        assert!("hub:nonsense".parse::<ModelSource>().is_err());
    }
}
