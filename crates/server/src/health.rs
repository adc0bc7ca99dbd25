//! Liveness and readiness; these routes ask nobody for a key.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use medparse_wire::V2Health;

use crate::errors::ApiError;
use crate::{AppState, Readiness};

/// `GET /`: the process answers.
pub(crate) async fn live() -> &'static str {
    "Healthy"
}

/// `GET /ready`, `/ping`, `/health`: `/score` can be answered, or a 503 that says why not.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    match state.readiness() {
        Readiness::Ready => Ok("Ready"),
        Readiness::NotReady(reason) => Err(ApiError::NotReady(reason)),
    }
}

/// `GET /v2/health/live`.
pub(crate) async fn v2_live() -> Json<V2Health> {
    Json(V2Health { live: Some(true), ready: None })
}

/// `GET /v2/health/ready`.
pub(crate) async fn v2_ready(State(state): State<AppState>) -> Response {
    v2_answer(state.readiness() == Readiness::Ready)
}

pub(crate) fn v2_answer(ready: bool) -> Response {
    let body = Json(V2Health { live: None, ready: Some(ready) });
    if ready {
        body.into_response()
    } else {
        (axum::http::StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}
