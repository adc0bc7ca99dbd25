//! Tokens that expire: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, checked by this server alone.
//!
//! The header is compared as a whole and never interpreted, which leaves nothing of the family of mistakes in which a
//! token chooses its own algorithm.

use base64_simd::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::secret::{MasterSecret, SecretText};

/// How long a token is valid.
pub(crate) const ISSUED_FOR: SignedDuration = SignedDuration::from_hours(1);

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const PURPOSE: &str = "token";

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Scoring on the endpoint with this nonce.
    Endpoint(String),
    /// A resource of Azure by its URL, as `DefaultAzureCredential` asks for: the control plane or scoring.
    Resource(String),
}

impl Audience {
    /// The control plane, by the resource that azure-ai-ml asks a token for.
    pub(crate) fn is_management(&self) -> bool {
        matches!(self, Self::Resource(url) if url.starts_with("https://management."))
    }

    /// Scoring with Microsoft Entra tokens, by the resource that azure-ai-ml asks a token for.
    pub(crate) fn is_scoring(&self) -> bool {
        matches!(self, Self::Resource(url) if url.starts_with("https://ml.azure."))
    }

    fn claim(&self) -> String {
        match self {
            Self::Endpoint(nonce) => format!("endpoint:{nonce}"),
            Self::Resource(url) => url.clone(),
        }
    }

    fn from_claim(claim: &str) -> Self {
        match claim.strip_prefix("endpoint:") {
            Some(nonce) => Self::Endpoint(nonce.to_owned()),
            None => Self::Resource(claim.to_owned()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Signs a token for `audience`, valid from `now` for [`ISSUED_FOR`].
pub(crate) fn issue_token(
    secret: &MasterSecret,
    audience: &Audience,
    now: Timestamp,
) -> SecretText {
    let now = now.as_second();
    let claims = Claims {
        iss: "medparse".to_owned(),
        aud: audience.claim(),
        sub: "local".to_owned(),
        iat: now,
        nbf: now,
        exp: now + ISSUED_FOR.as_secs(),
    };
    let payload = serde_json::to_string(&claims).unwrap_or_default();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode_to_string(HEADER.as_bytes()),
        URL_SAFE_NO_PAD.encode_to_string(payload.as_bytes())
    );
    let tag = URL_SAFE_NO_PAD.encode_to_string(secret.derive(PURPOSE, &[&signed]));
    SecretText::new(format!("{signed}.{tag}"))
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFault {
    /// It is no token of this server.
    Unknown,
    /// Its time is over.
    Expired,
}

/// The audience of a valid token.
pub(super) fn check_token(
    secret: &MasterSecret,
    token: &str,
    now: Timestamp,
) -> Result<Audience, TokenFault> {
    let (signed, tag) = token.rsplit_once('.').ok_or(TokenFault::Unknown)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenFault::Unknown)?;
    let decode = |text: &str| {
        URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).map_err(|_| TokenFault::Unknown)
    };
    if !secret.verify(PURPOSE, &[signed], &decode(tag)?) || decode(header)? != HEADER.as_bytes() {
        return Err(TokenFault::Unknown);
    }
    let claims: Claims =
        serde_json::from_slice(&decode(payload)?).map_err(|_| TokenFault::Unknown)?;
    if now.as_second() >= claims.exp {
        return Err(TokenFault::Expired);
    }
    Ok(Audience::from_claim(&claims.aud))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;

    #[test]
    fn a_token_is_good_for_an_hour_and_only_unchanged() {
        let secret = MasterSecret::new([7; 32]);
        let now: Timestamp = "2026-11-02T08:00:00Z".parse().unwrap();
        let audience = Audience::Endpoint("n0".into());
        let token = issue_token(&secret, &audience, now);
        let token = token.expose();
        assert_eq!(check_token(&secret, token, now), Ok(audience.clone()));
        assert_eq!(check_token(&secret, token, now + 59.minutes()), Ok(audience));
        assert_eq!(check_token(&secret, token, now + 60.minutes()), Err(TokenFault::Expired));
        assert_eq!(check_token(&MasterSecret::new([8; 32]), token, now), Err(TokenFault::Unknown));
        for at in 0..token.len() {
            let mut changed = token.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(check_token(&secret, &changed, now).is_err(), "byte {at} can be changed");
        }
        for rubbish in ["", ".", "..", "a.b.c", "mpk_x"] {
            assert_eq!(check_token(&secret, rubbish, now), Err(TokenFault::Unknown));
        }
    }

    #[test]
    fn a_token_cannot_name_its_own_algorithm() {
        let secret = MasterSecret::new([7; 32]);
        let encode = |text: &str| URL_SAFE_NO_PAD.encode_to_string(text.as_bytes());
        let claims = r#"{"iss":"medparse","aud":"https://management.azure.com","sub":"x","iat":0,"nbf":0,"exp":9999999999}"#;
        for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"HS512","typ":"JWT"}"#] {
            let signed = format!("{}.{}", encode(header), encode(claims));
            let tag = URL_SAFE_NO_PAD.encode_to_string(secret.derive(PURPOSE, &[&signed]));
            for token in [format!("{signed}."), format!("{signed}.{tag}")] {
                assert_eq!(
                    check_token(&secret, &token, Timestamp::UNIX_EPOCH),
                    Err(TokenFault::Unknown)
                );
            }
        }
    }
}
