//! Keys as they are shown.

use std::collections::BTreeSet;

use jiff::Timestamp;
use medparse_server::store::{KeyRecord, Scope};
use medparse_server::{Rate, SecretText};
use serde::Serialize;

/// A granted key, without its hash.
#[derive(Debug, Serialize)]
pub struct KeyView {
    id: String,
    scopes: BTreeSet<Scope>,
    endpoint: Option<String>,
    deployment: Option<String>,
    rate: Option<Rate>,
    label: Option<String>,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// Until when the key before the last rotation is valid too.
    old_key_until: Option<Timestamp>,
}

/// A key that was just granted, with the key itself.
#[derive(Serialize)]
pub struct GrantedView<'a> {
    key: &'a str,
    #[serde(flatten)]
    granted: KeyView,
}

/// The two keys of an endpoint.
#[derive(Serialize)]
pub struct EndpointKeysView<'a> {
    endpoint: &'a str,
    primary: &'a str,
    secondary: &'a str,
}

impl KeyView {
    /// A key of the state.
    pub fn new(record: &KeyRecord) -> Self {
        Self {
            id: record.id.clone(),
            scopes: record.scopes.clone(),
            endpoint: record.endpoint.clone(),
            deployment: record.deployment.clone(),
            rate: record.rate,
            label: record.label.clone(),
            created: record.created,
            expires: record.expires,
            old_key_until: record.retired.as_ref().map(|retired| retired.until),
        }
    }

    /// The key in one line.
    pub fn line(&self) -> String {
        let scopes: Vec<_> = self.scopes.iter().map(ToString::to_string).collect();
        let mut parts = vec![self.id.clone(), scopes.join("+")];
        parts.extend(self.endpoint.as_ref().map(|name| format!("endpoint {name}")));
        parts.extend(self.deployment.as_ref().map(|name| format!("deployment {name}")));
        parts.push(match self.expires {
            Some(expires) if expires <= Timestamp::now() => format!("expired {expires:.0}"),
            Some(expires) => format!("until {expires:.0}"),
            None => "does not expire".to_owned(),
        });
        parts.extend(self.rate.map(|rate| format!("at most {rate}")));
        parts.extend(self.label.clone());
        parts.join("  ")
    }
}

impl<'a> GrantedView<'a> {
    /// A key and what it is good for.
    pub fn new(granted: KeyView, key: &'a SecretText) -> Self {
        Self { key: key.expose(), granted }
    }
}

impl<'a> EndpointKeysView<'a> {
    /// The primary and the secondary key.
    pub fn new(endpoint: &'a str, [primary, secondary]: &'a [SecretText; 2]) -> Self {
        Self { endpoint, primary: primary.expose(), secondary: secondary.expose() }
    }
}
