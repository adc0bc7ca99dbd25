//! Who may call: keys, tokens of this server and of an issuer outside it, and the guard for servers that ask nobody.

mod access;
mod caller;
mod guard;
mod identity;
mod issuer;
mod keys;
mod secret;
mod tokens;

pub(crate) use access::{authorize_manage, authorize_metrics, authorize_score};
pub(crate) use caller::identify;
pub(crate) use guard::guard_loopback;
pub(crate) use identity::{identity_header, token_route};
pub(crate) use issuer::{Issuer, know_issuer};
pub use issuer::{IssuerConfig, IssuerError, Refresh};
pub use keys::KeySlot;
pub(crate) use keys::{endpoint_key, hash_key, new_key};
pub use secret::SecretText;
pub(crate) use secret::{MasterSecret, random_bytes};
pub(crate) use tokens::{Audience, ISSUED_FOR, issue_token};
