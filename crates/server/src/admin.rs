//! Changes of the state: what the management API, the page and the command line all do, in one place.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use thiserror::Error;

use crate::auth::{KeySlot, SecretText, endpoint_key, hash_key, new_key, random_bytes};
use crate::store::{
    AuthMode, DeploymentRecord, Document, EndpointRecord, Extra, KeyRecord, RequestSettings, RetiredKey, Scope, Store,
    StoreError,
};

/// Why a change of the state is refused.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No endpoint of that name.
    #[error("there is no endpoint named {0:?}")]
    NoEndpoint(String),
    /// No deployment of that name.
    #[error("the endpoint {endpoint:?} has no deployment named {name:?}")]
    NoDeployment {
        /// The endpoint.
        endpoint: String,
        /// The deployment asked for.
        name: String,
    },
    /// No key of that id.
    #[error("there is no key with the id {0:?}")]
    NoKey(String),
    /// A name that cannot be used.
    #[error("{0:?} is not a name: expected 1 to 63 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit")]
    Name(String),
    /// The percentages do not add up.
    #[error("the traffic percentages add up to {0}; expected 100, or 0 for no traffic")]
    TrafficSum(u32),
    /// Traffic for a deployment that is not there.
    #[error("traffic is given to {0:?}, which is not a deployment of the endpoint")]
    TrafficUnknown(String),
    /// More mirrored traffic than allowed.
    #[error("mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found {0}")]
    Mirror(String),
    /// A deployment that still gets traffic.
    #[error("the deployment {name:?} gets {percent} percent of the traffic; set it to 0 before deleting the deployment")]
    InTraffic {
        /// The deployment.
        name: String,
        /// Its share.
        percent: u8,
    },
    /// An unknown authentication mode.
    #[error("{0:?} is not an authentication mode; expected key, aml_token or aad_token")]
    AuthMode(String),
    /// An unknown precision.
    #[error("{0:?} is not a precision; expected f32, bf16 or int8")]
    Precision(String),
    /// A value that is not a whole number above zero.
    #[error("{what} must be a whole number above zero; found {found:?}")]
    Number {
        /// What the number is for.
        what: &'static str,
        /// The text found.
        found: String,
    },
    /// A deployment without a model.
    #[error("the deployment names no model; set it to a name of the catalog, a path, or hub:owner/name")]
    NoModel,
    /// A lifetime that cannot be read or is not in the future.
    #[error("{0:?} is not a lifetime; expected a duration above zero such as 168h, 90d or PT30M")]
    Lifetime(String),
    /// A key without a scope.
    #[error("a key needs at least one scope: score, manage or metrics")]
    NoScope,
    /// The endpoint's keys come from outside.
    #[error("the keys of this server are given by MEDPARSE_KEYS and are rotated there")]
    KeysGiven,
    /// Regenerating a key of an endpoint that has none.
    #[error("the endpoint {name:?} has no keys: its auth_mode is {mode}")]
    NotKeyed {
        /// The endpoint.
        name: String,
        /// Its mode.
        mode: AuthMode,
    },
}

impl AdminError {
    pub(crate) fn answer(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Store(_) => (S::INTERNAL_SERVER_ERROR, "StateUnavailable"),
            Self::NoEndpoint(_) => (S::NOT_FOUND, "EndpointNotFound"),
            Self::NoDeployment { .. } => (S::NOT_FOUND, "DeploymentNotFound"),
            Self::NoKey(_) => (S::NOT_FOUND, "KeyNotFound"),
            Self::InTraffic { .. } => (S::CONFLICT, "DeploymentInTraffic"),
            Self::KeysGiven | Self::NotKeyed { .. } => (S::CONFLICT, "NoManagedKeys"),
            Self::Name(_) => (S::BAD_REQUEST, "InvalidName"),
            Self::TrafficSum(_) | Self::TrafficUnknown(_) | Self::Mirror(_) => (S::BAD_REQUEST, "InvalidTraffic"),
            Self::AuthMode(_) => (S::BAD_REQUEST, "InvalidAuthMode"),
            Self::Precision(_) | Self::Number { .. } | Self::NoModel => (S::BAD_REQUEST, "InvalidDeployment"),
            Self::Lifetime(_) => (S::BAD_REQUEST, "InvalidLifetime"),
            Self::NoScope => (S::BAD_REQUEST, "InvalidScope"),
        }
    }
}

/// What an endpoint shall be; what is absent stays as it is, or takes its default in a new endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointSpec {
    /// How callers show who they are.
    pub auth_mode: Option<AuthMode>,
    /// Percentages of the requests, by deployment.
    pub traffic: Option<BTreeMap<String, u8>>,
    /// Percentage of the requests that one further deployment gets a copy of.
    pub mirror_traffic: Option<BTreeMap<String, u8>>,
    /// What else clients set and want to see again.
    pub extra: Option<Extra>,
}

/// What a deployment shall be.
#[derive(Debug, Clone, Default)]
pub struct DeploymentSpec {
    /// The model: a name of the catalog, a path, `hub:owner/name`, or an Azure model id.
    pub model: String,
    /// `f32`, `bf16` or `int8`.
    pub precision: Option<String>,
    /// Threads of the model.
    pub threads: Option<usize>,
    /// What one request may take.
    pub request_settings: RequestSettings,
    /// How long it lives.
    pub expires_in: Option<SignedDuration>,
    /// What else clients set and want to see again.
    pub extra: Extra,
}

/// Whether something was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there and has been changed.
    Updated,
}

/// Makes or changes an endpoint. The first endpoint of a server becomes the one that `/score` serves.
///
/// # Errors
/// A name or traffic that cannot be.
pub fn put_endpoint(document: &mut Document, name: &str, spec: EndpointSpec) -> Result<Put, AdminError> {
    check_name(name)?;
    let now = Timestamp::now();
    let outcome = if document.endpoints.contains_key(name) { Put::Updated } else { Put::Created };
    let mut endpoint = document.endpoints.get(name).cloned().unwrap_or_else(|| EndpointRecord {
        auth_mode: AuthMode::Key,
        nonce: base64_simd::URL_SAFE_NO_PAD.encode_to_string(random_bytes::<16>()),
        key_generations: [0, 0],
        traffic: BTreeMap::new(),
        mirror_traffic: BTreeMap::new(),
        deployments: BTreeMap::new(),
        created: now,
        modified: now,
        extra: Extra::default(),
    });
    endpoint.modified = now;
    if let Some(mode) = spec.auth_mode {
        endpoint.auth_mode = mode;
    }
    if let Some(traffic) = spec.traffic {
        endpoint.traffic = without_zeroes(traffic);
    }
    if let Some(mirror) = spec.mirror_traffic {
        endpoint.mirror_traffic = without_zeroes(mirror);
    }
    if let Some(extra) = spec.extra {
        endpoint.extra = extra;
    }
    check_traffic(&endpoint)?;
    document.endpoints.insert(name.to_owned(), endpoint);
    if document.default_endpoint.as_ref().is_none_or(|default| !document.endpoints.contains_key(default)) {
        document.default_endpoint = Some(name.to_owned());
    }
    Ok(outcome)
}

/// Deletes an endpoint with its deployments, its keys and its tokens.
///
/// # Errors
/// When there is none.
pub fn delete_endpoint(document: &mut Document, name: &str) -> Result<(), AdminError> {
    document.endpoints.remove(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))?;
    document.keys.retain(|key| key.endpoint.as_deref() != Some(name));
    if document.default_endpoint.as_deref() == Some(name) {
        document.default_endpoint = None;
    }
    Ok(())
}

/// Makes or changes a deployment. It gets no traffic by itself.
///
/// # Errors
/// A missing endpoint, a name, or a setting that cannot be.
pub fn put_deployment(
    document: &mut Document,
    endpoint: &str,
    name: &str,
    spec: DeploymentSpec,
) -> Result<Put, AdminError> {
    check_name(name)?;
    if spec.model.is_empty() {
        return Err(AdminError::NoModel);
    }
    if let Some(precision) = &spec.precision {
        if !["f32", "bf16", "int8"].contains(&precision.as_str()) {
            return Err(AdminError::Precision(precision.clone()));
        }
    }
    let now = Timestamp::now();
    let expires = spec.expires_in.map(|lifetime| add(now, lifetime)).transpose()?;
    let deployments = &mut find_endpoint(document, endpoint)?.deployments;
    let created = deployments.get(name).map(|existing| existing.created);
    let record = DeploymentRecord {
        model: spec.model,
        precision: spec.precision,
        threads: spec.threads,
        request_settings: spec.request_settings,
        expires,
        created: created.unwrap_or(now),
        modified: now,
        extra: spec.extra,
    };
    deployments.insert(name.to_owned(), record);
    Ok(if created.is_some() { Put::Updated } else { Put::Created })
}

/// Deletes a deployment that gets no traffic.
///
/// # Errors
/// When there is none, or it gets traffic.
pub fn delete_deployment(document: &mut Document, endpoint: &str, name: &str) -> Result<(), AdminError> {
    let record = find_endpoint(document, endpoint)?;
    if !record.deployments.contains_key(name) {
        return Err(AdminError::NoDeployment { endpoint: endpoint.to_owned(), name: name.to_owned() });
    }
    if let Some(&percent) = record.traffic.get(name) {
        return Err(AdminError::InTraffic { name: name.to_owned(), percent });
    }
    record.deployments.remove(name);
    record.mirror_traffic.remove(name);
    Ok(())
}

/// Deletes the deployments whose time is over and the keys that nobody can use any more; answers whether there
/// were any. Traffic that went to such a deployment is shared among the others in proportion.
pub fn delete_expired(document: &mut Document, now: Timestamp) -> bool {
    let mut changed = false;
    for endpoint in document.endpoints.values_mut() {
        let before = endpoint.deployments.len();
        endpoint.deployments.retain(|_, deployment| deployment.expires.is_none_or(|expires| expires > now));
        if endpoint.deployments.len() < before {
            changed = true;
            endpoint.mirror_traffic.retain(|name, _| endpoint.deployments.contains_key(name));
            endpoint.traffic.retain(|name, _| endpoint.deployments.contains_key(name));
            spread(&mut endpoint.traffic);
        }
    }
    for key in &mut document.keys {
        if key.retired.as_ref().is_some_and(|retired| retired.until <= now) {
            key.retired = None;
            changed = true;
        }
    }
    changed
}

/// Scales percentages up to 100.
fn spread(traffic: &mut BTreeMap<String, u8>) {
    let sum: u32 = traffic.values().map(|&percent| u32::from(percent)).sum();
    if sum == 0 {
        return;
    }
    let mut left = 100;
    for percent in traffic.values_mut() {
        *percent = u8::try_from(u32::from(*percent) * 100 / sum).unwrap_or(100);
        left -= *percent;
    }
    if let Some(first) = traffic.values_mut().next() {
        *first += left;
    }
}

/// Which of the two keys of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichKey {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
}

impl From<WhichKey> for KeySlot {
    fn from(which: WhichKey) -> Self {
        match which {
            WhichKey::Primary => Self::Primary,
            WhichKey::Secondary => Self::Secondary,
        }
    }
}

/// The primary and secondary key of an endpoint.
///
/// # Errors
/// When there is no such endpoint.
pub fn endpoint_keys(store: &Store, document: &Document, name: &str) -> Result<[SecretText; 2], AdminError> {
    let endpoint = document.endpoints.get(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))?;
    Ok([KeySlot::Primary, KeySlot::Secondary].map(|slot| endpoint_key(store.secret(), endpoint, slot)))
}

/// Replaces one key of an endpoint; the old one fails on the next request, the other stays valid.
///
/// # Errors
/// When there is no such endpoint or it has no keys.
pub fn regenerate_key(document: &mut Document, name: &str, which: WhichKey) -> Result<(), AdminError> {
    let endpoint = find_endpoint(document, name)?;
    if endpoint.auth_mode != AuthMode::Key {
        return Err(AdminError::NotKeyed { name: name.to_owned(), mode: endpoint.auth_mode });
    }
    endpoint.key_generations[KeySlot::from(which).index()] += 1;
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
    /// A note on whose it is.
    pub label: Option<String>,
    /// How long it is valid.
    pub expires_in: Option<SignedDuration>,
}

/// Grants a key; the key itself is in the answer and nowhere else.
///
/// # Errors
/// No scope, or an endpoint or deployment that is not there.
pub fn grant_key(document: &mut Document, grant: KeyGrant) -> Result<(KeyRecord, SecretText), AdminError> {
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
            if !record.deployments.contains_key(deployment) {
                return Err(AdminError::NoDeployment { endpoint: name.clone(), name: deployment.clone() });
            }
        }
    }
    let now = Timestamp::now();
    let key = new_key();
    let id: String = random_bytes::<5>().iter().map(|byte| format!("{byte:02x}")).collect();
    let record = KeyRecord {
        id,
        hash: hash_key(key.expose()),
        retired: None,
        scopes: grant.scopes,
        endpoint,
        deployment: grant.deployment,
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
pub fn rotate_key(document: &mut Document, id: &str, grace: SignedDuration) -> Result<SecretText, AdminError> {
    let now = Timestamp::now();
    let record =
        document.keys.iter_mut().find(|key| key.id == id).ok_or_else(|| AdminError::NoKey(id.to_owned()))?;
    let key = new_key();
    let until = now.checked_add(grace.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MAX);
    record.retired = (grace > SignedDuration::ZERO).then_some(RetiredKey { hash: record.hash, until });
    record.hash = hash_key(key.expose());
    Ok(key)
}

/// Reads a lifetime: `168h`, `90d`, `2 weeks`, or ISO 8601 such as `PT30M`; a day has 24 hours.
///
/// # Errors
/// When it cannot be read or is not above zero.
pub fn parse_lifetime(text: &str) -> Result<SignedDuration, AdminError> {
    let wrong = || AdminError::Lifetime(text.to_owned());
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if duration <= SignedDuration::ZERO {
        return Err(wrong());
    }
    Ok(duration)
}

fn add(now: Timestamp, lifetime: SignedDuration) -> Result<Timestamp, AdminError> {
    now.checked_add(lifetime).map_err(|_| AdminError::Lifetime(lifetime.to_string()))
}

fn find_endpoint<'a>(document: &'a mut Document, name: &str) -> Result<&'a mut EndpointRecord, AdminError> {
    document.endpoints.get_mut(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))
}

fn check_name(name: &str) -> Result<(), AdminError> {
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits { Ok(()) } else { Err(AdminError::Name(name.chars().take(80).collect())) }
}

fn without_zeroes(mut traffic: BTreeMap<String, u8>) -> BTreeMap<String, u8> {
    traffic.retain(|_, percent| *percent > 0);
    traffic
}

fn check_traffic(endpoint: &EndpointRecord) -> Result<(), AdminError> {
    for name in endpoint.traffic.keys().chain(endpoint.mirror_traffic.keys()) {
        if !endpoint.deployments.contains_key(name) {
            return Err(AdminError::TrafficUnknown(name.clone()));
        }
    }
    let sum: u32 = endpoint.traffic.values().map(|&percent| u32::from(percent)).sum();
    if sum != 0 && sum != 100 {
        return Err(AdminError::TrafficSum(sum));
    }
    let mirror: Vec<_> = endpoint.mirror_traffic.iter().collect();
    match mirror[..] {
        [] => Ok(()),
        [(name, &percent)] if percent <= 50 && !endpoint.traffic.contains_key(name) => Ok(()),
        _ => {
            let found: Vec<_> = mirror.iter().map(|(name, percent)| format!("{name}: {percent}")).collect();
            Err(AdminError::Mirror(found.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(parts: &[(&str, u8)]) -> BTreeMap<String, u8> {
        parts.iter().map(|&(name, percent)| (name.to_owned(), percent)).collect()
    }

    fn two_deployments() -> Document {
        let mut document = Document::default();
        put_endpoint(&mut document, "e", EndpointSpec::default()).unwrap();
        for name in ["blue", "green"] {
            let spec = DeploymentSpec { model: "bundled".into(), ..Default::default() };
            assert_eq!(put_deployment(&mut document, "e", name, spec).unwrap(), Put::Created);
        }
        document
    }

    #[test]
    fn traffic_must_add_up_and_go_to_deployments() {
        let mut document = two_deployments();
        let mut set = |traffic: &[(&str, u8)], mirror: &[(&str, u8)]| {
            let spec = EndpointSpec {
                traffic: Some(shares(traffic)),
                mirror_traffic: Some(shares(mirror)),
                ..Default::default()
            };
            put_endpoint(&mut document, "e", spec).map_err(|error| error.to_string())
        };
        assert!(set(&[("blue", 90), ("green", 10)], &[]).is_ok());
        assert!(set(&[("blue", 100), ("green", 0)], &[("green", 50)]).is_ok());
        assert!(set(&[], &[]).is_ok());
        for (traffic, mirror, sentence) in [
            (&[("blue", 90)][..], &[][..], "the traffic percentages add up to 90; expected 100, or 0 for no traffic"),
            (&[("red", 100)], &[], "traffic is given to \"red\", which is not a deployment of the endpoint"),
            (&[("blue", 100)], &[("blue", 10)], "mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found blue: 10"),
            (&[("blue", 100)], &[("green", 60)], "mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found green: 60"),
        ] {
            assert_eq!(set(traffic, mirror).unwrap_err(), sentence);
        }
    }

    #[test]
    fn a_deployment_in_traffic_stays_until_its_time_is_over() {
        let mut document = two_deployments();
        let spec = EndpointSpec { traffic: Some(shares(&[("blue", 70), ("green", 30)])), ..Default::default() };
        put_endpoint(&mut document, "e", spec).unwrap();
        assert!(matches!(delete_deployment(&mut document, "e", "blue"), Err(AdminError::InTraffic { percent: 70, .. })));
        let now = Timestamp::now();
        document.endpoints.get_mut("e").unwrap().deployments.get_mut("blue").unwrap().expires = Some(now);
        assert!(delete_expired(&mut document, now));
        assert_eq!(document.endpoints["e"].traffic, shares(&[("green", 100)]));
        assert!(!delete_expired(&mut document, now));
    }

    #[test]
    fn lifetimes_are_read_in_the_usual_spellings() {
        for (text, hours) in [("168h", 168), ("90d", 90 * 24), ("PT2H", 2), ("1w", 168), ("P1D", 24)] {
            assert_eq!(parse_lifetime(text).unwrap(), SignedDuration::from_hours(hours), "{text}");
        }
        for text in ["", "soon", "-1h", "0s", "12"] {
            assert!(parse_lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_plain() {
        let mut document = Document::default();
        for name in ["", "-a", "a/b", "a b", "../x", "ä", &"a".repeat(64)] {
            assert!(matches!(put_endpoint(&mut document, name, EndpointSpec::default()), Err(AdminError::Name(_))));
        }
    }

    #[test]
    fn a_rotated_key_has_its_grace() {
        let mut document = two_deployments();
        let grant = KeyGrant { scopes: [Scope::Score].into(), deployment: Some("blue".into()), ..Default::default() };
        let (record, key) = grant_key(&mut document, grant).unwrap();
        assert_eq!(record.endpoint.as_deref(), Some("e"));
        let next = rotate_key(&mut document, &record.id, SignedDuration::from_hours(1)).unwrap();
        let stored = &document.keys[0];
        assert!(stored.hash.matches(&hash_key(next.expose())));
        assert!(stored.retired.as_ref().unwrap().hash.matches(&hash_key(key.expose())));
        rotate_key(&mut document, &record.id, SignedDuration::ZERO).unwrap();
        assert_eq!(document.keys[0].retired, None);
        revoke_key(&mut document, &record.id).unwrap();
        assert!(matches!(revoke_key(&mut document, &record.id), Err(AdminError::NoKey(_))));
    }
}
