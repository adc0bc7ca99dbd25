//! `GET /swagger.json`: the OpenAPI document, a checked-in file that the tests hold against the routes.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::AppState;

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("../openapi/openapi.json");

/// `GET /swagger.json`.
pub(crate) async fn swagger(State(_): State<AppState>, _: HeaderMap) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
