use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::resource::{self, Body};
use crate::admin::{EndpointSpec, Put, delete_endpoint, find_endpoint, put_endpoint};
use crate::base::Base;
use crate::body::read_object;
use crate::errors::ApiError;
use crate::store::{AuthMode, Document};
use crate::{AdminError, AppState};

#[derive(Deserialize)]
pub(super) struct EndpointPath {
    pub(super) endpoint: String,
}

/// `GET onlineEndpoints`.
pub(super) async fn list(
    State(state): State<AppState>,
    Base(base): Base,
) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    let names = document.endpoints.keys();
    let items =
        names.map(|name| shown(&state, &base, &document, name)).collect::<Result<_, _>>()?;
    Ok(Json(resource::page(items)))
}

/// `GET onlineEndpoints/{endpoint}`.
pub(super) async fn show(
    State(state): State<AppState>,
    Base(base): Base,
    Path(path): Path<EndpointPath>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(shown(&state, &base, &*state.document()?, &path.endpoint)?))
}

fn shown(state: &AppState, base: &str, document: &Document, name: &str) -> Result<Value, ApiError> {
    let record = find_endpoint(document, name)?;
    let is_default = document.default_endpoint.as_deref() == Some(name);
    Ok(resource::endpoint(state, base, name, record, is_default))
}

/// `PUT onlineEndpoints/{endpoint}`: done when it answers.
pub(super) async fn put(
    State(state): State<AppState>,
    Base(base): Base,
    Path(path): Path<EndpointPath>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut body: Body = read_object(&state, request).await?;
    let mut spec = spec(&body)?;
    // Keys are never written down, not even those that a client would choose.
    body.properties.remove("keys");
    spec.extra = Some(body.extra());
    change(&state, &base, path.endpoint, spec).await
}

/// `PATCH onlineEndpoints/{endpoint}`: changes what the body names.
pub(super) async fn patch(
    State(state): State<AppState>,
    Base(base): Base,
    Path(path): Path<EndpointPath>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let body: Body = read_object(&state, request).await?;
    let mut spec = spec(&body)?;
    let document = state.document()?;
    let mut extra = find_endpoint(&document, &path.endpoint)?.extra.clone();
    if let Some(tags) = body.tags {
        extra.tags = tags;
    }
    if let Some(description) = body.properties.get("description") {
        extra.properties.insert("description".to_owned(), description.clone());
    }
    spec.extra = Some(extra);
    change(&state, &base, path.endpoint, spec).await
}

async fn change(
    state: &AppState,
    base: &str,
    name: String,
    spec: EndpointSpec,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let target = name.clone();
    let put = state.change(move |document| put_endpoint(document, &target, spec)).await?;
    let status = if put == Put::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(state, base, &*state.document()?, &name)?)))
}

fn spec(body: &Body) -> Result<EndpointSpec, ApiError> {
    let text = |key: &str| {
        body.properties.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    };
    let auth_mode = match text("authMode") {
        Some(name) => {
            Some(AuthMode::from_name(name).ok_or_else(|| AdminError::AuthMode(name.to_owned()))?)
        }
        None => None,
    };
    Ok(EndpointSpec {
        auth_mode,
        traffic: shares(body, "traffic")?,
        mirror_traffic: shares(body, "mirrorTraffic")?,
        extra: None,
    })
}

fn shares(body: &Body, key: &str) -> Result<Option<BTreeMap<String, u8>>, ApiError> {
    match body.properties.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|_| {
            ApiError::BadRequest(format!(
                "properties.{key} must map deployments to whole percentages from 0 to 100"
            ))
        }),
    }
}

/// `DELETE onlineEndpoints/{endpoint}`: done when it answers. Deleting what is not there is done at once.
pub(super) async fn delete(
    State(state): State<AppState>,
    Path(path): Path<EndpointPath>,
) -> Result<StatusCode, ApiError> {
    let deleted = state.change(move |document| delete_endpoint(document, &path.endpoint)).await;
    match deleted {
        Ok(()) => Ok(StatusCode::OK),
        Err(ApiError::Admin(AdminError::NoEndpoint(_))) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error),
    }
}
