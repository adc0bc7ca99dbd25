//! Tokens of an issuer outside this server: Microsoft Entra, or any other provider that speaks OpenID Connect
//! (Discovery 1.0; JSON Web Key Sets, RFC 7517; RFC 7519 for the tokens).
//!
//! The keys are fetched when the first token arrives and kept for an hour. A token signed with a key that is not among
//! them makes the server look again, at most every [`Refresh::unknown_key`]; when the issuer can't be reached, the keys
//! at hand are good for a day. Only signatures by a public key are accepted: an algorithm with a shared secret would let
//! whoever knows the public key sign.

mod keys;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use thiserror::Error;

use crate::AppState;
use crate::store::Scope;
use keys::{Fetched, fetch};

/// Clocks may differ by so much, in seconds.
const LEEWAY: u64 = 60;

/// The longest token that is looked at; Entra's stay far below it.
const LONGEST: usize = 16 << 10;

/// What is accepted as a signature.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Whose tokens are accepted beside this server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The claim `iss`, and where the keys are looked up: `{issuer}/.well-known/openid-configuration`.
    pub issuer: String,
    /// Values of the claim `aud`, of which a token must carry one.
    pub audiences: Vec<String>,
    /// Certificates of authorities (PEM) that are trusted instead of the public ones.
    pub authorities: Option<Vec<u8>>,
    /// How often the keys are looked up.
    pub refresh: Refresh,
}

/// How often an issuer's keys are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Keys are looked up again after this time; 1 h.
    pub every: Duration,
    /// The least time between two look-ups; 30 s.
    pub unknown_key: Duration,
    /// Keys that can't be looked up again are good for this time; 24 h.
    pub at_most: Duration,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            unknown_key: Duration::from_secs(30),
            at_most: Duration::from_secs(24 * 3600),
        }
    }
}

/// An address or an audience that cannot be an issuer's.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// Keys that come over a line which anybody may write to prove nothing.
    #[error(
        "the issuer {0:?} must be an https:// URL (or http:// on this machine), without a query"
    )]
    Address(String),
    /// A token made for another application would open this one.
    #[error(
        "an issuer needs an audience: the value of the claim aud that tokens for this server carry"
    )]
    NoAudience,
    /// What should be certificates is none.
    #[error("the issuer's authorities hold no certificate in PEM")]
    Authorities,
}

impl IssuerConfig {
    /// An issuer that is asked over HTTPS, or over HTTP on this machine.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn new(
        issuer: &str,
        audiences: Vec<String>,
        authorities: Option<Vec<u8>>,
    ) -> Result<Self, IssuerError> {
        if !is_trustworthy(issuer) {
            return Err(IssuerError::Address(issuer.to_owned()));
        }
        if audiences.iter().all(String::is_empty) {
            return Err(IssuerError::NoAudience);
        }
        if let Some(pem) = &authorities {
            keys::roots(pem).ok_or(IssuerError::Authorities)?;
        }
        let refresh = Refresh::default();
        Ok(Self { issuer: issuer.to_owned(), audiences, authorities, refresh })
    }
}

/// Whether what comes from there comes from there.
fn is_trustworthy(url: &str) -> bool {
    let Ok(uri) = url.parse::<axum::http::Uri>() else { return false };
    let local = uri.host().is_some_and(|host| {
        let name = host.trim_matches(['[', ']']);
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    let scheme = uri.scheme_str().unwrap_or_default();
    uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && !url.contains('#')
        && (scheme == "https" || (scheme == "http" && local))
}

/// A caller whom the issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The claim `oid` of Entra, else `sub`: an id, no name.
    pub(crate) subject: String,
    scopes: Vec<Scope>,
}

impl Vouched {
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Why a token of the issuer is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuerFault {
    /// It is no token of this issuer, or none at all.
    Unknown,
    /// It is signed with a key that the issuer doesn't name, or the keys couldn't be had.
    NoKey,
    /// Anything else; the sentence says what.
    Refused(&'static str),
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    oid: Option<String>,
    #[serde(default)]
    roles: Words,
    #[serde(default)]
    scp: Words,
    #[serde(default)]
    scope: Words,
}

/// A list of words, or a text with blanks between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Text(String),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        let words: Box<dyn Iterator<Item = &str>> = match self {
            Self::List(words) => Box::new(words.iter().map(String::as_str)),
            Self::Text(text) => Box::new(text.split_whitespace()),
        };
        words.filter_map(|word| Scope::from_name(word.strip_prefix("medparse.").unwrap_or(word)))
    }
}

/// An issuer and its keys, as far as they are known.
pub(crate) struct Issuer {
    config: IssuerConfig,
    known: Mutex<Known>,
    /// One look-up at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Fetched, Instant)>,
    /// When the last look-up ended, whether it found anything or not.
    looked: Option<Instant>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig) -> Self {
        Self { config, known: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// Who shows this token, by the keys at hand.
    pub(crate) fn check(&self, token: &str) -> Result<Vouched, IssuerFault> {
        if token.len() > LONGEST || token.matches('.').count() != 2 {
            return Err(IssuerFault::Unknown);
        }
        let header = decode_header(token).map_err(|_| IssuerFault::Unknown)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(IssuerFault::Unknown);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (keys, since) = known.keys.as_ref().ok_or(IssuerFault::NoKey)?;
        if since.elapsed() >= self.config.refresh.at_most {
            return Err(IssuerFault::NoKey);
        }
        let key = keys.find(header.kid.as_deref()).ok_or(IssuerFault::NoKey)?;
        if !key.allows(header.alg) {
            return Err(IssuerFault::Refused("the token is not signed as its key is meant for"));
        }
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&self.config.audiences);
        let claims = decode::<Claims>(token, &key.key, &validation).map_err(fault)?.claims;
        let scopes = [&claims.roles, &claims.scp, &claims.scope];
        let scopes = scopes.into_iter().flat_map(Words::scopes).collect();
        let subject = claims.oid.or(claims.sub).unwrap_or_else(|| "unnamed".to_owned());
        // It stands in logs: no line break, no endless one.
        let subject = subject.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        Ok(Vouched { subject, scopes })
    }

    /// Looks up the keys where those at hand are too old, or are not the one that signed this token.
    async fn refresh(&self, token: &str) {
        if !self.wants(token) {
            return;
        }
        let _looking = self.looking.lock().await;
        if !self.wants(token) {
            return;
        }
        let config = self.config.clone();
        let fetched = tokio::task::spawn_blocking(move || fetch(&config)).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.looked = Some(Instant::now());
        match fetched {
            Ok(Ok(keys)) => known.keys = Some((keys, Instant::now())),
            Ok(Err(error)) => tracing::warn!(%error, "the issuer's keys could not be looked up"),
            Err(_) => tracing::error!("looking up the issuer's keys failed"),
        }
    }

    /// Whether looking up the keys may help this token.
    fn wants(&self, token: &str) -> bool {
        let refresh = self.config.refresh;
        let (old, rested) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let old = known.keys.as_ref().is_none_or(|(_, since)| since.elapsed() >= refresh.every);
            let rested = known.looked.is_none_or(|last| last.elapsed() >= refresh.unknown_key);
            (old, rested)
        };
        if !rested {
            return false;
        }
        match self.check(token) {
            Err(IssuerFault::NoKey) => true,
            Err(IssuerFault::Unknown) => false,
            _ => old,
        }
    }
}

fn fault(error: jsonwebtoken::errors::Error) -> IssuerFault {
    IssuerFault::Refused(match error.kind() {
        ErrorKind::InvalidIssuer => return IssuerFault::Unknown,
        ErrorKind::ExpiredSignature => "the token has expired; get a new one",
        ErrorKind::ImmatureSignature => "the token is not valid yet; do the clocks agree?",
        ErrorKind::InvalidAudience => "the token is for another application",
        ErrorKind::InvalidSignature => "the token's signature is not its issuer's",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of the claims exp, iss and aud",
        _ => "the token is not a valid JSON Web Token of the issuer",
    })
}

/// The token of a header `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Has the keys at hand before anything asks who is calling.
pub(crate) async fn know_issuer(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(issuer) = state.issuer()
        && let Some(token) = bearer(request.headers())
    {
        issuer.refresh(token).await;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_asked_where_nobody_else_can_answer() {
        let audience = || vec!["api://medparse".to_owned()];
        for (url, good) in [
            ("https://login.microsoftonline.com/0000/v2.0", true),
            ("http://127.0.0.1:8080/realm", true),
            ("http://[::1]:8080", true),
            ("http://localhost/", true),
            ("http://issuer.example", false),
            ("http://localhost.example", false),
            ("https://issuer.example/?a=b", false),
            ("https://", false),
            ("issuer.example", false),
            ("ftp://issuer.example", false),
        ] {
            assert_eq!(IssuerConfig::new(url, audience(), None).is_ok(), good, "{url}");
        }
        assert!(IssuerConfig::new("https://a.example", vec![], None).is_err());
        let no_pem = Some(b"nothing".to_vec());
        assert!(IssuerConfig::new("https://a.example", audience(), no_pem).is_err());
    }

    #[test]
    fn scopes_are_roles_or_words() {
        let list: Words = serde_json::from_str(r#"["medparse.score", "manage", "admin"]"#).unwrap();
        assert_eq!(list.scopes().collect::<Vec<_>>(), [Scope::Score, Scope::Manage]);
        let text: Words = serde_json::from_str(r#""openid metrics medparse.score""#).unwrap();
        assert_eq!(text.scopes().collect::<Vec<_>>(), [Scope::Metrics, Scope::Score]);
    }
}
