//! `GET /swagger.json`: the OpenAPI document, a checked-in file that the tests hold against the routes.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("../openapi/openapi.json");

/// `GET /swagger.json`.
pub(crate) async fn swagger() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
