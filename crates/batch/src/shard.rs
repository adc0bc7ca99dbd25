//! One part of a run that several machines share.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The `number`th of `of` parts, from 1; printed and read as `3/16`.
///
/// Read from 0 it is the last: who counts from 0, as an indexed job of Kubernetes does, names every part
/// once as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

/// The text names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shard: expected a number and a count that is not smaller, such as 3/16")]
pub struct ShardError(String);

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Whether an item of this name is in this part.
    ///
    /// Names decide, and not positions: files that come or go between two runs move no other file
    /// from one part to another.
    pub fn holds(self, name: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let [a, b, c, d, ..] = digest;
        u32::from_be_bytes([a, b, c, d]) % self.of == self.number - 1
    }

    /// Whether there is one part only.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// As part of a file's name: `3-of-16`.
    pub fn file_name(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let numbers = text.split_once('/');
        let numbers =
            numbers.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((0, of)) if of > 0 => Ok(Self { number: of, of }),
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err(ShardError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_shard_and_shards_are_about_even() {
        let shards: Vec<Shard> = (1..=16).map(|at| format!("{at}/16").parse().unwrap()).collect();
        let mut sizes = [0; 16];
        for item in 0..4000 {
            let name = format!("day{}/scan_{item:05}", item % 7);
            let holders: Vec<usize> = (0..16).filter(|at| shards[*at].holds(&name)).collect();
            assert_eq!(holders.len(), 1, "{name}");
            sizes[holders[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (180..=320).contains(size)), "{sizes:?}");
        assert!(Shard::WHOLE.holds("anything"));
    }

    #[test]
    fn names_go_there_and_back_and_nonsense_is_refused() {
        assert_eq!("3/16".parse::<Shard>().unwrap().to_string(), "3/16");
        assert_eq!("0/16".parse::<Shard>().unwrap(), "16/16".parse().unwrap());
        for text in ["0/0", "5/4", "3", "a/b", "1/0", "-1/2", ""] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("expected a number and a count"), "{error}");
        }
    }
}
