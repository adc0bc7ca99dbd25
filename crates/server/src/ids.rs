//! Request ids: the three headers that Azure clients use are echoed, and one is made when none came.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::AppState;
use crate::errors::ApiError;
use crate::hex::hex;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MS_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const MS_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// The id of a request, for its log line.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Finds or makes the request's id, and echoes the headers.
pub(crate) async fn echo(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let limit = state.config().limits.id_length;
    let mut sent = Vec::new();
    for name in [REQUEST_ID, MS_REQUEST_ID, MS_CLIENT_REQUEST_ID] {
        if let Some(value) = request.headers().get(&name) {
            if value.len() > limit {
                return ApiError::IdTooLong { header: name, found: value.len(), limit }
                    .into_response();
            }
            sent.push((name, value.clone()));
        }
    }
    let id =
        sent.first().and_then(|(_, value)| value.to_str().ok()).map_or_else(new_id, str::to_owned);
    let made = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("invalid"));
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, made.clone());
    headers.insert(MS_REQUEST_ID, made);
    for (name, value) in sent {
        headers.insert(name, value);
    }
    response
}

/// 128 random bits as a UUID (version 4).
pub(crate) fn new_id() -> String {
    let mut bits: [u8; 16] = crate::auth::random_bytes();
    bits[6] = bits[6] & 0x0f | 0x40;
    bits[8] = bits[8] & 0x3f | 0x80;
    let hex = hex(&bits);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
