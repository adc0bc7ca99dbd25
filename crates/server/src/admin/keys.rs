use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::lifetime::add;
use super::{AdminError, endpoint_mut, find_deployment, find_endpoint};
use crate::Rate;
use crate::auth::{KeySlot, SecretText, endpoint_key, hash_key, new_key, random_bytes};
use crate::hex::hex;
use crate::store::{AuthMode, Document, KeyRecord, RetiredKey, Scope, Store};

/// The primary and secondary key of an endpoint.
///
/// # Errors
/// When there is no such endpoint.
pub fn endpoint_keys(
    store: &Store,
    document: &Document,
    name: &str,
) -> Result<[SecretText; 2], AdminError> {
    let endpoint = find_endpoint(document, name)?;
    Ok(KeySlot::ALL.map(|slot| endpoint_key(store.secret(), endpoint, slot)))
}

/// Replaces one key of an endpoint; the old one fails on the next request, the other stays valid.
///
/// # Errors
/// When there is no such endpoint or it has no keys.
pub fn regenerate_key(
    document: &mut Document,
    name: &str,
    slot: KeySlot,
) -> Result<(), AdminError> {
    let endpoint = endpoint_mut(document, name)?;
    if endpoint.auth_mode != AuthMode::Key {
        return Err(AdminError::NotKeyed { name: name.to_owned(), mode: endpoint.auth_mode });
    }
    endpoint.key_generations[slot.index()] += 1;
    endpoint.modified = Timestamp::now();
    Ok(())
}

/// What a new key shall be good for.
#[derive(Debug, Clone, Default)]
pub struct KeyGrant {
    /// Its scopes.
    pub scopes: BTreeSet<Scope>,
    /// The only endpoint it is good for.
    pub endpoint: Option<String>,
    /// The only deployment it is good for; of the default endpoint when none is named.
    pub deployment: Option<String>,
    /// How often it may be used, instead of the server's own rate.
    pub rate: Option<Rate>,
    /// A note on whose it is.
    pub label: Option<String>,
    /// How long it is valid.
    pub expires_in: Option<SignedDuration>,
}

/// Grants a key; the key itself is in the answer and nowhere else.
///
/// # Errors
/// No scope, or an endpoint or deployment that is not there.
pub fn grant_key(
    document: &mut Document,
    grant: KeyGrant,
) -> Result<(KeyRecord, SecretText), AdminError> {
    if grant.scopes.is_empty() {
        return Err(AdminError::NoScope);
    }
    let endpoint = match (&grant.endpoint, &grant.deployment) {
        (None, None) => None,
        (Some(name), _) => Some(name.clone()),
        (None, Some(_)) => Some(document.default_endpoint.clone().unwrap_or_default()),
    };
    if let Some(name) = &endpoint {
        let record = find_endpoint(document, name)?;
        if let Some(deployment) = &grant.deployment {
            find_deployment(record, name, deployment)?;
        }
    }
    let now = Timestamp::now();
    let key = new_key();
    let record = KeyRecord {
        id: hex(&random_bytes::<5>()),
        hash: hash_key(key.expose()),
        retired: None,
        scopes: grant.scopes,
        endpoint,
        deployment: grant.deployment,
        rate: grant.rate,
        label: grant.label,
        created: now,
        expires: grant.expires_in.map(|lifetime| add(now, lifetime)).transpose()?,
    };
    document.keys.push(record.clone());
    Ok((record, key))
}

/// Revokes a key: it fails on the next request.
///
/// # Errors
/// When there is no such key.
pub fn revoke_key(document: &mut Document, id: &str) -> Result<(), AdminError> {
    let before = document.keys.len();
    document.keys.retain(|key| key.id != id);
    if document.keys.len() == before {
        return Err(AdminError::NoKey(id.to_owned()));
    }
    Ok(())
}

/// Replaces a key and keeps the old one valid for `grace`; zero ends it at once.
///
/// # Errors
/// When there is no such key.
pub fn rotate_key(
    document: &mut Document,
    id: &str,
    grace: SignedDuration,
) -> Result<SecretText, AdminError> {
    let now = Timestamp::now();
    let record = document
        .keys
        .iter_mut()
        .find(|key| key.id == id)
        .ok_or_else(|| AdminError::NoKey(id.to_owned()))?;
    let key = new_key();
    let until = now.checked_add(grace.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MAX);
    record.retired =
        (grace > SignedDuration::ZERO).then_some(RetiredKey { hash: record.hash, until });
    record.hash = hash_key(key.expose());
    Ok(key)
}
