//! Reading a body: within a size, within a time, within the memory set aside for all bodies together.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::AppState;
use crate::errors::ApiError;
use crate::queue::Charge;

/// A body, and its charge on the memory for requests in flight.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) charge: Charge,
}

/// Reads the JSON body of a request.
///
/// The content type must be JSON, or absent on a client that sends none.
pub(crate) async fn read_json(state: &AppState, request: Request) -> Result<Held, ApiError> {
    check_content_type(request.headers(), request.method())?;
    read(state, request).await
}

/// Reads a JSON body of a known shape; an empty one counts as `{}`.
pub(crate) async fn read_object<T: DeserializeOwned>(
    state: &AppState,
    request: Request,
) -> Result<T, ApiError> {
    let held = read_json(state, request).await?;
    parse_object(if held.bytes.is_empty() { b"{}" } else { &held.bytes })
}

/// Reads a JSON object of a known shape; serde alone would take a list of its members as well.
pub(crate) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::BadRequest("the body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::BadRequest(format!("the body cannot be read: {error}")))
}

/// Reads a body of any type.
pub(crate) async fn read(state: &AppState, request: Request) -> Result<Held, ApiError> {
    let limit = state.config().limits.body_bytes;
    let timeouts = state.config().timeouts;
    let gzip = request.extensions().get::<Compressed>().is_some();
    if content_length(request.headers()).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let deadline = Instant::now() + timeouts.body;
    let mut body = request.into_body();
    let mut charge = state.queue().charge();
    // A body that comes in one piece is not copied.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = next_piece(&mut body, deadline, timeouts.body_stall, gzip).await? {
        if first.len().max(whole.len()) + piece.len() > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        if !charge.grow(piece.len()) {
            return Err(state.queue().memory_full());
        }
        if first.is_empty() {
            first = piece;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&piece);
        }
    }
    let bytes = if whole.is_empty() { first } else { whole.freeze() };
    Ok(Held { bytes, charge })
}

/// Marks a request whose body is decompressed on the way in.
#[derive(Debug, Clone, Copy)]
struct Compressed;

/// Refuses body encodings other than gzip, with a sentence, before the decompression layer sees them.
pub(crate) async fn check_encoding(mut request: Request, next: Next) -> Response {
    match request.headers().get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => {}
        Some(b"gzip" | b"x-gzip") => {
            // The length on the wire says nothing about the length that is read.
            request
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            request.extensions_mut().insert(Compressed);
        }
        Some(_) => {
            let sentence =
                "the body must be sent as it is or with Content-Encoding: gzip".to_owned();
            let mut response = ApiError::MediaType(sentence).into_response();
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            return response;
        }
    }
    next.run(request).await
}

async fn next_piece(
    body: &mut Body,
    deadline: Instant,
    stall: Duration,
    gzip: bool,
) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = timeout_at(deadline, timeout(stall, body.frame()))
            .await
            .map_err(|_| ApiError::BodyTooSlow("its time is up"))?
            .map_err(|_| ApiError::BodyTooSlow("nothing came for too long"))?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::BodyBroken(if gzip { "gzip" } else { "HTTP" })),
            // Trailers carry nothing for us.
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_content_type(headers: &HeaderMap, method: &Method) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
    {
        return Ok(());
    }
    // Some clients name a type on a GET that has no body.
    if method == Method::GET {
        return Ok(());
    }
    Err(ApiError::MediaType("the body must have the content type application/json".to_owned()))
}
