use base64_simd::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::secret::{MasterSecret, SecretText, random_bytes};
use crate::store::{EndpointRecord, KeyHash};

/// Which of the two keys of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySlot {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
}

impl KeySlot {
    pub(crate) const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Primary => 0,
            Self::Secondary => 1,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// A new key: 256 random bits.
pub(crate) fn new_key() -> SecretText {
    SecretText::new(format!("mpk_{}", URL_SAFE_NO_PAD.encode_to_string(random_bytes::<32>())))
}

/// A key of an endpoint: computed, never stored.
pub(crate) fn endpoint_key(
    secret: &MasterSecret,
    endpoint: &EndpointRecord,
    slot: KeySlot,
) -> SecretText {
    let generation = endpoint.key_generations[slot.index()].to_string();
    let bits = secret.derive("endpoint key", &[&endpoint.nonce, slot.name(), &generation]);
    SecretText::new(format!("mpe_{}", URL_SAFE_NO_PAD.encode_to_string(bits)))
}

/// What is stored of a key.
pub(crate) fn hash_key(key: &str) -> KeyHash {
    KeyHash(Sha256::digest(key.as_bytes()).into())
}

impl KeyHash {
    /// Whether two hashes are equal, in constant time.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
