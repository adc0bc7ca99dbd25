//! The public keys of an issuer, looked up over HTTP.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::IssuerConfig;

/// The longest document that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the keys are not to be had.
#[derive(Debug, Error)]
pub(super) enum KeysError {
    #[error("{url}: {error}")]
    Http { url: String, error: Box<ureq::Error> },
    #[error("{url} is not the JSON that was expected: {error}")]
    Json { url: String, error: serde_json::Error },
    #[error("{url} names the issuer {found:?}; expected {expected:?}")]
    OtherIssuer { url: String, found: String, expected: String },
    #[error("{url} names keys at {keys:?}, which is no https:// URL")]
    Untrusted { url: String, keys: String },
    #[error("{url} holds no key that signatures can be checked with")]
    Empty { url: String },
}

/// The keys of an issuer.
pub(super) struct Fetched(Vec<IssuerKey>);

/// One of them.
pub(super) struct IssuerKey {
    id: Option<String>,
    pub(super) key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl IssuerKey {
    /// Whether signatures of this kind may be made with it.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// `None` where the key is for something else.
    fn new(jwk: &Jwk) -> Option<Self> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let common = &jwk.common;
        let signs =
            common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
                && common
                    .key_operations
                    .as_ref()
                    .is_none_or(|all| all.contains(&KeyOperations::Verify));
        let family: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[ES256],
                EllipticCurve::P384 => &[ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(_) => &[EdDSA],
            // Shared secrets among others.
            _ => return None,
        };
        let algorithms: Vec<_> = match common.key_algorithm {
            None => family.to_vec(),
            Some(named) => {
                let named = Algorithm::try_from(named).ok()?;
                family.iter().copied().filter(|known| *known == named).collect()
            }
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        signs.then(|| Self { id: common.key_id.clone(), key, algorithms })
    }
}

impl Fetched {
    /// The key of that id; where the token names none, the only key there is.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&IssuerKey> {
        match (id, &self.0[..]) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// What is read of OpenID Connect's discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Looks up the keys; blocks.
pub(super) fn fetch(config: &IssuerConfig) -> Result<Fetched, KeysError> {
    let roots = config.authorities.as_deref().and_then(roots).unwrap_or(RootCerts::WebPki);
    let agent: Agent = Agent::config_builder()
        .user_agent(concat!("medparse/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .into();
    let url = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
    let discovery: Discovery = get(&agent, &url)?;
    if discovery.issuer != config.issuer {
        let (found, expected) = (discovery.issuer, config.issuer.clone());
        return Err(KeysError::OtherIssuer { url, found, expected });
    }
    if !super::is_trustworthy(&discovery.jwks_uri) {
        return Err(KeysError::Untrusted { url, keys: discovery.jwks_uri });
    }
    // Key by key: one of a kind that is not known here doesn't spoil the others.
    #[derive(Deserialize)]
    struct Raw {
        keys: Vec<serde_json::Value>,
    }
    let raw: Raw = get(&agent, &discovery.jwks_uri)?;
    let set = JwkSet {
        keys: raw.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect(),
    };
    let keys: Vec<_> = set.keys.iter().filter_map(IssuerKey::new).collect();
    if keys.is_empty() {
        Err(KeysError::Empty { url: discovery.jwks_uri })
    } else {
        Ok(Fetched(keys))
    }
}

fn get<T: DeserializeOwned>(agent: &Agent, url: &str) -> Result<T, KeysError> {
    let failed = |error| KeysError::Http { url: url.to_owned(), error: Box::new(error) };
    let mut response = agent.get(url).call().map_err(failed)?;
    let bytes = response.body_mut().with_config().limit(LONGEST).read_to_vec().map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|error| KeysError::Json { url: url.to_owned(), error })
}

/// The certificates in `pem`, as roots of trust.
pub(super) fn roots(pem: &[u8]) -> Option<RootCerts> {
    let certificates: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::Specific(Arc::new(certificates)))
}
