//! A local managed-identity source, as App Service offers one: azure-identity finds it by `IDENTITY_ENDPOINT` and
//! shows the secret of `IDENTITY_HEADER`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use base64_simd::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::secret::{MasterSecret, SecretText};
use super::tokens::{Audience, ISSUED_FOR, issue_token};
use crate::errors::ApiError;
use crate::{AppState, IdentitySource};

/// The secret that clients show in `X-IDENTITY-HEADER`; the same for the life of the state folder.
pub(crate) fn identity_header(secret: &MasterSecret) -> SecretText {
    SecretText::new(format!(
        "mpi_{}",
        URL_SAFE_NO_PAD.encode_to_string(secret.derive("identity header", &[]))
    ))
}

#[derive(Deserialize)]
pub(crate) struct TokenQuery {
    resource: Option<String>,
}

/// `GET /identity/token?resource=URL&api-version=2019-08-01`.
pub(crate) async fn token_route(
    State(state): State<AppState>,
    Query(query): Query<TokenQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    if state.config().identity == IdentitySource::Off {
        return Err(ApiError::NotFound(
            "this server is no identity source; start it with --azure".to_owned(),
        ));
    }
    let shown = headers.get("x-identity-header").map_or(&b""[..], |value| value.as_bytes());
    let expected = identity_header(state.store().secret());
    if !bool::from(shown.ct_eq(expected.expose().as_bytes())) {
        return Err(ApiError::Unauthorized(
            "the header X-IDENTITY-HEADER must carry the secret of IDENTITY_HEADER",
        ));
    }
    let resource = query.resource.unwrap_or_default();
    let resource = resource.trim_end_matches('/');
    let audience = Audience::Resource(resource.to_owned());
    if !audience.is_management() && !audience.is_scoring() {
        return Err(ApiError::BadRequest(
            "tokens are handed out for https://management.azure.com and https://ml.azure.com only"
                .to_owned(),
        ));
    }
    let now = Timestamp::now();
    let expires = now.as_second() + ISSUED_FOR.as_secs();
    let token = issue_token(state.store().secret(), &audience, now);
    Ok(Json(json!({
        "access_token": token.expose(),
        "expires_on": expires.to_string(),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": "medparse",
    })))
}
