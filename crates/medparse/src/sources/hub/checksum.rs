//! The checksum that the hub names a file by: sha256 of a large file, git's blob hash of a small one.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A file's checksum as the hub's ETag gives it, in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// sha256 of the content (files kept in LFS or Xet).
    Sha256(String),
    /// sha1 of git's blob: `blob SIZE\0` and the content.
    GitBlob(String),
}

impl Checksum {
    /// Reads an ETag header, quoted or not, weak or not; none where it is no checksum.
    pub(super) fn from_etag(etag: &str) -> Option<Self> {
        let bare = etag.trim().trim_start_matches("W/").trim_matches('"');
        if !bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let digits = bare.to_ascii_lowercase();
        match digits.len() {
            64 => Some(Self::Sha256(digits)),
            40 => Some(Self::GitBlob(digits)),
            _ => None,
        }
    }

    /// The digits: also the name of the file in the cache.
    pub(super) fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }

    /// The name of the sum, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::GitBlob(_) => "git sha1",
        }
    }

    /// Begins the sum over a file of `size` bytes.
    pub(super) fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Self::GitBlob(_) => Hasher::GitBlob(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

/// A sum under way.
pub(super) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::GitBlob(sum) => sum.update(bytes),
        }
    }

    /// The digits of all bytes so far.
    pub(super) fn finish(self) -> String {
        let bytes = match self {
            Self::Sha256(sum) => sum.finalize().to_vec(),
            Self::GitBlob(sum) => sum.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `printf 'hello\n' | sha256sum` and `| git hash-object --stdin`.
    #[test]
    fn sums_equal_those_of_sha256sum_and_git() {
        for digits in [
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "ce013625030ba8dba906f756967f9e9ca394464a",
        ] {
            let sum = Checksum::from_etag(&format!("\"{digits}\"")).unwrap();
            let mut hasher = sum.hasher(6);
            hasher.update(b"hel");
            hasher.update(b"lo\n");
            assert_eq!(hasher.finish(), digits);
        }
    }

    #[test]
    fn reads_etags_and_nothing_else() {
        let digits = "CE013625030ba8dba906f756967f9e9ca394464a";
        let expected = Some(Checksum::GitBlob(digits.to_ascii_lowercase()));
        assert_eq!(Checksum::from_etag(&format!("W/\"{digits}\"")), expected);
        assert_eq!(Checksum::from_etag(digits), expected);
        for bad in ["", "\"\"", "\"abc\"", "../../etc/passwd", &"g".repeat(64), &"é".repeat(20)] {
            assert_eq!(Checksum::from_etag(bad), None, "{bad}");
        }
    }
}
