use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A text that must not be logged: its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that must show it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// The secret of a state folder, from which endpoint keys and token signatures are derived.
///
/// Endpoint keys must be shown again whenever a manager asks (`listKeys`), and yet not lie on the disk: so they are
/// computed from this secret, the endpoint and a generation number, and only the numbers are stored.
pub(crate) struct MasterSecret([u8; Self::LENGTH]);

impl MasterSecret {
    pub(crate) const LENGTH: usize = 32;

    pub(crate) fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// 256 bits that only the holder of the secret can compute; `purpose` keeps uses apart.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&str]) -> [u8; 32] {
        self.mac(purpose, parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is what [`derive`](Self::derive) gives, in constant time.
    pub(crate) fn verify(&self, purpose: &str, parts: &[&str], tag: &[u8]) -> bool {
        self.mac(purpose, parts).verify_slice(tag).is_ok()
    }

    fn mac(&self, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
        // HMAC fills a key up to the block of its hash with zeros.
        let mut block = [0; 64];
        block[..Self::LENGTH].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // Every part is preceded by its length, so that no two lists of parts run together to the same bytes.
        for part in std::iter::once(&purpose).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret(…)")
    }
}

/// Random bytes of the operating system.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without its source of randomness no operating system runs programs that need keys; the documentation of
    // getrandom names no failure that a caller could do anything about.
    #[expect(clippy::expect_used, reason = "a server without randomness must not hand out keys")]
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
