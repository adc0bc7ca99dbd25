use axum::Json;
use axum::extract::{Path, Request, State};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoints::EndpointPath;
use crate::admin::{KeySlot, endpoint_keys, find_endpoint, regenerate_key};
use crate::auth::{Audience, ISSUED_FOR, issue_token};
use crate::body::read_object;
use crate::errors::ApiError;
use crate::store::AuthMode;
use crate::{AdminError, AppState};

/// `POST onlineEndpoints/{endpoint}/listKeys`.
pub(super) async fn list_keys(
    State(state): State<AppState>,
    Path(path): Path<EndpointPath>,
) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    find_endpoint(&document, &path.endpoint)?;
    let [primary, secondary] = match &state.config().given_keys[..] {
        [] => endpoint_keys(state.store(), &document, &path.endpoint)?,
        [only] => [only.clone(), only.clone()],
        [primary, secondary, ..] => [primary.clone(), secondary.clone()],
    };
    Ok(Json(json!({ "primaryKey": primary.expose(), "secondaryKey": secondary.expose() })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Regenerate {
    key_type: String,
}

/// `POST onlineEndpoints/{endpoint}/regenerateKeys`: done when it answers; the old key fails on the next request.
///
/// azure-ai-ml sends the old key along as `keyValue`; the new one is always made here.
pub(super) async fn regenerate_keys(
    State(state): State<AppState>,
    Path(path): Path<EndpointPath>,
    request: Request,
) -> Result<(), ApiError> {
    let asked: Regenerate = read_object(&state, request).await?;
    let slot = match asked.key_type.to_ascii_lowercase().as_str() {
        "primary" => KeySlot::Primary,
        "secondary" => KeySlot::Secondary,
        _ => return Err(ApiError::BadRequest("keyType must be Primary or Secondary".to_owned())),
    };
    if !state.config().given_keys.is_empty() {
        return Err(AdminError::KeysGiven.into());
    }
    state.change(move |document| regenerate_key(document, &path.endpoint, slot)).await
}

/// `POST onlineEndpoints/{endpoint}/token`.
pub(super) async fn token(
    State(state): State<AppState>,
    Path(path): Path<EndpointPath>,
) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    let endpoint = find_endpoint(&document, &path.endpoint)?;
    if endpoint.auth_mode != AuthMode::AmlToken {
        let sentence =
            format!("the endpoint hands out no tokens: its auth_mode is {}", endpoint.auth_mode);
        return Err(ApiError::BadRequest(sentence));
    }
    let now = Timestamp::now();
    let token =
        issue_token(state.store().secret(), &Audience::Endpoint(endpoint.nonce.clone()), now);
    Ok(Json(json!({
        "accessToken": token.expose(),
        "expiryTimeUtc": (now + ISSUED_FOR).as_second(),
        "refreshAfterTimeUtc": (now + ISSUED_FOR / 2).as_second(),
        "tokenType": "Bearer",
    })))
}
