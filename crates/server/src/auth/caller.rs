//! Who a caller is, for the audit log and the rates; whether it may do what it asks is decided in `access`.

use std::fmt;

use axum::http::HeaderMap;
use jiff::Timestamp;

use super::access::{Shown, shown};
use super::keys::{KeySlot, endpoint_key, hash_key};
use super::tokens::Audience;
use crate::store::{Document, EndpointRecord};
use crate::{Access, AppState, Rate};

/// Who a caller is, without anything that opens a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    name: String,
    /// The rate of its key.
    pub(crate) rate: Option<Rate>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Who sent these headers: `key:ID`, `endpoint:NAME/primary`, `given:primary`, `token:ENDPOINT`, `token:RESOURCE` or
/// `issuer:SUBJECT`; `anyone` where nobody is asked, `nobody` where nothing valid was shown.
pub(crate) fn identify(state: &AppState, headers: &HeaderMap) -> Caller {
    let named = |name: String| Caller { name, rate: None };
    if state.config().access == Access::Open {
        return named("anyone".to_owned());
    }
    let nobody = || named("nobody".to_owned());
    let Ok(document) = state.document() else { return nobody() };
    match shown(state, &document, headers, Timestamp::now()) {
        Ok(Shown::Granted(key)) => Caller { name: format!("key:{}", key.id), rate: key.rate },
        Ok(Shown::Token(Audience::Endpoint(nonce))) => {
            let mut endpoints = document.endpoints.iter();
            let found = endpoints.find(|(_, endpoint)| endpoint.nonce == nonce);
            found.map_or_else(nobody, |(name, _)| named(format!("token:{name}")))
        }
        Ok(Shown::Token(Audience::Resource(url))) => named(format!("token:{url}")),
        Ok(Shown::Vouched(caller)) => named(format!("issuer:{}", caller.subject)),
        Ok(Shown::Other(secret)) => {
            endpoint_of(state, &document, &secret).map_or_else(nobody, named)
        }
        _ => nobody(),
    }
}

/// The endpoint whose key this is, and which of the two.
fn endpoint_of(state: &AppState, document: &Document, secret: &str) -> Option<String> {
    let hash = hash_key(secret);
    let given = &state.config().given_keys;
    if !given.is_empty() {
        let mut pairs = given.iter().zip(KeySlot::ALL);
        let found = pairs.find(|(key, _)| hash_key(key.expose()).matches(&hash));
        return found.map(|(_, slot)| format!("given:{}", slot.name()));
    }
    let is_key = |endpoint: &EndpointRecord, slot| {
        hash_key(endpoint_key(state.store().secret(), endpoint, slot).expose()).matches(&hash)
    };
    document.endpoints.iter().find_map(|(name, endpoint)| {
        let slot = KeySlot::ALL.into_iter().find(|&slot| is_key(endpoint, slot))?;
        Some(format!("endpoint:{name}/{}", slot.name()))
    })
}
