//! Keys beside the two of every endpoint: granted by scope, revoked, rotated.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{KeyGrant, grant_key, parse_lifetime, revoke_key, rotate_key};
use crate::body::read_object;
use crate::errors::ApiError;
use crate::store::{KeyRecord, Scope};
use crate::{AppState, Rate};

/// `GET /api/v1/keys`: what was granted, without the keys.
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    Ok(Json(json!({ "keys": document.keys.iter().map(shown).collect::<Vec<_>>() })))
}

fn shown(key: &KeyRecord) -> Value {
    json!({
        "id": key.id,
        "scopes": key.scopes,
        "endpoint": key.endpoint,
        "deployment": key.deployment,
        "rate": key.rate,
        "label": key.label,
        "created": key.created.to_string(),
        "expires": key.expires.map(|time| time.to_string()),
        "retired_until": key.retired.as_ref().map(|retired| retired.until.to_string()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    scopes: BTreeSet<Scope>,
    endpoint: Option<String>,
    deployment: Option<String>,
    rate: Option<Rate>,
    label: Option<String>,
    expires_in: Option<String>,
}

/// `POST /api/v1/keys`: the answer holds the key, which is shown this once.
pub(super) async fn grant(
    State(state): State<AppState>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let asked: Grant = read_object(&state, request).await?;
    let expires_in = asked.expires_in.as_deref().map(parse_lifetime).transpose()?;
    let Grant { scopes, endpoint, deployment, rate, label, .. } = asked;
    let grant = KeyGrant { scopes, endpoint, deployment, rate, label, expires_in };
    let (record, key) = state.change(move |document| grant_key(document, grant)).await?;
    let mut answer = shown(&record);
    answer["key"] = json!(key.expose());
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `DELETE /api/v1/keys/{id}`: the key fails on the next request.
pub(super) async fn revoke(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.change(move |document| revoke_key(document, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Rotate {
    grace: Option<String>,
}

/// `POST /api/v1/keys/{id}/rotate`: a new key; the old one stays valid for `grace`, at once invalid without it.
pub(super) async fn rotate(
    State(state): State<AppState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let asked: Rotate = read_object(&state, request).await?;
    let grace =
        asked.grace.as_deref().map(parse_lifetime).transpose()?.unwrap_or(SignedDuration::ZERO);
    let target = id.clone();
    let key = state.change(move |document| rotate_key(document, &target, grace)).await?;
    Ok(Json(json!({ "id": id, "key": key.expose() })))
}
