//! The decision whether a caller may do what it asks.

use axum::http::{HeaderMap, header};
use jiff::Timestamp;

use super::issuer::{IssuerFault, Vouched};
use super::keys::{KeySlot, endpoint_key, hash_key};
use super::tokens::{Audience, TokenFault, check_token};
use crate::errors::ApiError;
use crate::store::{AuthMode, Document, EndpointRecord, KeyRecord, Scope};
use crate::{Access, AppState};

/// What a caller showed.
pub(super) enum Shown {
    Nothing,
    Token(Audience),
    ExpiredToken,
    Vouched(Vouched),
    Granted(Box<KeyRecord>),
    ExpiredKey,
    /// A text that is neither a token nor a granted key; it may still be a key of an endpoint.
    Other(String),
}

pub(super) fn shown(
    state: &AppState,
    document: &Document,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Shown, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Shown::Nothing) };
    let text = value.to_str().unwrap_or_default();
    let Some((scheme, secret)) = text.split_once(' ') else {
        return Err(ApiError::Unauthorized("the header Authorization must read: Bearer KEY"));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::Unauthorized("the header Authorization must use the scheme Bearer"));
    }
    let secret = secret.trim();
    match check_token(state.store().secret(), secret, now) {
        Ok(audience) => return Ok(Shown::Token(audience)),
        Err(TokenFault::Expired) => return Ok(Shown::ExpiredToken),
        Err(TokenFault::Unknown) => {}
    }
    if let Some(issuer) = state.issuer() {
        match issuer.check(secret) {
            Ok(vouched) => return Ok(Shown::Vouched(vouched)),
            Err(IssuerFault::Refused(sentence)) => return Err(ApiError::Unauthorized(sentence)),
            Err(IssuerFault::NoKey) => return Err(NO_ISSUER_KEY),
            Err(IssuerFault::Unknown) => {}
        }
    }
    let hash = hash_key(secret);
    // Every key is compared, whichever matches: the time says nothing about where in the list a key stands.
    let mut found = None;
    for key in &document.keys {
        let current = key.hash.matches(&hash);
        let retired =
            key.retired.as_ref().is_some_and(|old| old.hash.matches(&hash) & (now < old.until));
        if current | retired {
            found = Some(key);
        }
    }
    Ok(match found {
        Some(key) if key.expires.is_some_and(|expires| expires <= now) => Shown::ExpiredKey,
        Some(key) => Shown::Granted(Box::new(key.clone())),
        None => Shown::Other(secret.to_owned()),
    })
}

const NO_KEY: ApiError =
    ApiError::Unauthorized("this route needs the header Authorization: Bearer KEY");
const WRONG_KEY: ApiError =
    ApiError::Unauthorized("the key is not valid; it may have been revoked or rotated");
const NO_ISSUER_KEY: ApiError = ApiError::Unauthorized(
    "the token is signed with a key that its issuer does not name, or the issuer cannot be reached",
);
const EXPIRED_KEY: ApiError = ApiError::Unauthorized("the key has expired");
const EXPIRED_TOKEN: ApiError = ApiError::Unauthorized("the token has expired; get a new one");

/// Whether the caller may score on an endpoint; answers with the only deployment it may use, if there is one.
pub(crate) fn authorize_score(
    state: &AppState,
    document: &Document,
    headers: &HeaderMap,
    name: &str,
    endpoint: &EndpointRecord,
) -> Result<Option<String>, ApiError> {
    if state.config().access == Access::Open {
        return Ok(None);
    }
    match (shown(state, document, headers, Timestamp::now())?, endpoint.auth_mode) {
        (Shown::Nothing, _) => Err(NO_KEY),
        (Shown::ExpiredKey, _) => Err(EXPIRED_KEY),
        (Shown::ExpiredToken, _) => Err(EXPIRED_TOKEN),
        (Shown::Token(Audience::Endpoint(nonce)), AuthMode::AmlToken)
            if nonce == endpoint.nonce =>
        {
            Ok(None)
        }
        (Shown::Token(audience), AuthMode::AadToken) if audience.is_scoring() => Ok(None),
        (Shown::Vouched(caller), AuthMode::AadToken) => {
            require_role(&caller, Scope::Score).map(|()| None)
        }
        (Shown::Token(_) | Shown::Vouched(_), AuthMode::Key) => {
            Err(ApiError::Unauthorized("this endpoint takes keys (auth_mode key), not tokens"))
        }
        (Shown::Token(_) | Shown::Vouched(_), _) => {
            Err(ApiError::Unauthorized("the token is for something else"))
        }
        (Shown::Granted(_) | Shown::Other(_), AuthMode::AmlToken) => Err(ApiError::Unauthorized(
            "this endpoint takes its own tokens (auth_mode aml_token), not keys",
        )),
        (Shown::Granted(_), AuthMode::AadToken) => Err(ApiError::Unauthorized(
            "this endpoint takes identity tokens (auth_mode aad_token), not keys",
        )),
        (Shown::Other(_), AuthMode::AadToken) => Err(ApiError::Unauthorized(
            "this endpoint takes identity tokens (auth_mode aad_token) of its own issuer; this is none",
        )),
        (Shown::Granted(key), AuthMode::Key) => granted_score(&key, name),
        (Shown::Other(secret), AuthMode::Key) => {
            if is_endpoint_key(state, endpoint, &secret) {
                Ok(None)
            } else {
                Err(WRONG_KEY)
            }
        }
    }
}

fn granted_score(key: &KeyRecord, endpoint: &str) -> Result<Option<String>, ApiError> {
    require(key, Scope::Score)?;
    match &key.endpoint {
        Some(only) if only != endpoint => Err(ApiError::Forbidden(format!(
            "the key {} is good for the endpoint {only} only",
            key.id
        ))),
        _ => Ok(key.deployment.clone()),
    }
}

/// Whether `secret` is one of the endpoint's two keys, in constant time.
fn is_endpoint_key(state: &AppState, endpoint: &EndpointRecord, secret: &str) -> bool {
    let hash = hash_key(secret);
    let given = &state.config().given_keys;
    if given.is_empty() {
        let [primary, secondary] = KeySlot::ALL.map(|slot| {
            hash_key(endpoint_key(state.store().secret(), endpoint, slot).expose()).matches(&hash)
        });
        return primary | secondary;
    }
    given.iter().fold(false, |valid, key| valid | hash_key(key.expose()).matches(&hash))
}

/// Whether the caller may change endpoints, deployments and keys.
pub(crate) fn authorize_manage(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    authorize_scope(state, headers, Scope::Manage)
}

/// Whether the caller may read the metrics.
pub(crate) fn authorize_metrics(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    authorize_scope(state, headers, Scope::Metrics)
}

fn authorize_scope(state: &AppState, headers: &HeaderMap, scope: Scope) -> Result<(), ApiError> {
    if state.config().access == Access::Open {
        return Ok(());
    }
    let document = state.document()?;
    match shown(state, &document, headers, Timestamp::now())? {
        Shown::Nothing => Err(NO_KEY),
        Shown::ExpiredKey => Err(EXPIRED_KEY),
        Shown::ExpiredToken => Err(EXPIRED_TOKEN),
        Shown::Token(audience) if audience.is_management() => Ok(()),
        Shown::Token(_) => Err(ApiError::Unauthorized("the token is for something else")),
        Shown::Vouched(caller) => require_role(&caller, scope),
        Shown::Granted(key) => require(&key, scope),
        Shown::Other(secret) => {
            let scoring = document
                .endpoints
                .values()
                .any(|endpoint| is_endpoint_key(state, endpoint, &secret));
            if scoring {
                return Err(ApiError::Forbidden(format!(
                    "a scoring key cannot be used here; the scope {scope} is needed"
                )));
            }
            Err(WRONG_KEY)
        }
    }
}

fn require(key: &KeyRecord, scope: Scope) -> Result<(), ApiError> {
    if key.scopes.contains(&scope) {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!("the key {} does not have the scope {scope}", key.id)))
}

fn require_role(caller: &Vouched, scope: Scope) -> Result<(), ApiError> {
    if caller.may(scope) {
        return Ok(());
    }
    Err(ApiError::Forbidden(format!(
        "the token names no role medparse.{scope}; its issuer grants roles"
    )))
}
