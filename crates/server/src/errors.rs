//! Every error reply of the server: one closed enum that decides status, code and the public sentence.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use medparse_imaging::Error as ImagingError;
use medparse_wire::{ErrorBody, Fault, Place, WireError};
use thiserror::Error;

use crate::admin::AdminError;

/// Why a request has no answer.
///
/// The sentences go to the client. What only the operator may see is logged where it happens and not carried here.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{place}: {error}")]
    Picture { place: Place, error: Box<ImagingError> },
    #[error(
        "{place}: {prompts} masks of {width}×{height} pixels are more than the {limit} pixels accepted for one row"
    )]
    MasksTooLarge { place: Place, prompts: usize, width: u32, height: u32, limit: u64 },
    /// The files of a scan.
    #[error("{0}")]
    Scan(Box<ImagingError>),
    #[error("row {row}: {reason}")]
    Unusable { row: usize, reason: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0} is not served here; the routes are listed at /swagger.json")]
    NoRoute(String),
    #[error("this path does not answer {0}")]
    Method(String),
    #[error(
        "the body is larger than {limit} bytes; send fewer rows, or raise the limit of the server"
    )]
    BodyTooLarge { limit: usize },
    #[error("the body arrived too slowly: {0}")]
    BodyTooSlow(&'static str),
    #[error("the body broke off or is not valid {0}")]
    BodyBroken(&'static str),
    #[error("{0}")]
    MediaType(String),
    #[error("the header {header} has {found} characters; at most {limit} are accepted")]
    IdTooLong { header: HeaderName, found: usize, limit: usize },
    #[error("{reason}; try again in {seconds} s")]
    Overloaded { reason: &'static str, rejection: Rejection, seconds: u64 },
    #[error("{0}")]
    NotReady(String),
    #[error("row {row} was not answered within {limit:?}")]
    Deadline { row: usize, limit: Duration },
    #[error("the model failed on row {row}; the server's log says why under this request's id")]
    ModelFailed { row: usize },
    #[error("the request was cancelled")]
    Cancelled,
    #[error("{0}")]
    Admin(#[from] AdminError),
    #[error("{0}")]
    Offline(String),
    #[error("the server failed; its log says why under this request's id")]
    Internal,
}

/// Why work was turned away; a label of the rejection counter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, prometheus_client::encoding::EncodeLabelValue,
)]
pub(crate) enum Rejection {
    /// No place in the queue.
    QueueFull,
    /// Bodies and pictures in flight fill the memory set aside for them.
    MemoryFull,
    /// The request breaks the contract.
    BadRequest,
    /// Larger than allowed.
    TooLarge,
    /// No valid key or token, or not for this.
    Access,
    /// The row's time was up.
    Deadline,
    /// The model is not loaded.
    NotReady,
    /// The body arrived too slowly.
    SlowBody,
    /// The caller has asked as often as it may.
    RateUsedUp,
}

impl ApiError {
    /// The status, and a stable code for programs.
    fn answer(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Wire(error) => {
                let status = match error.fault() {
                    Fault::Malformed => S::BAD_REQUEST,
                    Fault::Content => S::UNPROCESSABLE_ENTITY,
                    Fault::TooLarge => S::PAYLOAD_TOO_LARGE,
                };
                (status, error.code())
            }
            Self::Picture { error, .. } => match **error {
                ImagingError::OverLimit { .. } => (S::PAYLOAD_TOO_LARGE, "ImageTooLarge"),
                _ => (S::UNPROCESSABLE_ENTITY, "InvalidImage"),
            },
            Self::MasksTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "MasksTooLarge"),
            Self::Scan(_) => (S::UNPROCESSABLE_ENTITY, "InvalidScan"),
            Self::Unusable { .. } => (S::UNPROCESSABLE_ENTITY, "InvalidRow"),
            Self::BadRequest(_) => (S::BAD_REQUEST, "InvalidRequest"),
            Self::Unauthorized(_) => (S::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden(_) => (S::FORBIDDEN, "Forbidden"),
            Self::NotFound(_) => (S::NOT_FOUND, "NotFound"),
            Self::NoRoute(_) => (S::NOT_FOUND, "RouteNotFound"),
            Self::Method(_) => (S::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "BodyTooLarge"),
            Self::BodyTooSlow(_) => (S::SERVICE_UNAVAILABLE, "BodyTooSlow"),
            Self::BodyBroken(_) => (S::BAD_REQUEST, "InvalidBody"),
            Self::MediaType(_) => (S::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
            Self::IdTooLong { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestIdTooLong"),
            Self::Overloaded { .. } => (S::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::NotReady(_) => (S::SERVICE_UNAVAILABLE, "NotReady"),
            Self::Deadline { .. } => (S::GATEWAY_TIMEOUT, "DeadlineExceeded"),
            Self::ModelFailed { .. } => (S::INTERNAL_SERVER_ERROR, "ModelFailed"),
            // Nobody is there to read it; the log shows it as the status that nginx made known for this.
            Self::Cancelled => (S::from_u16(499).unwrap_or(S::BAD_REQUEST), "ClientClosedRequest"),
            Self::Admin(error) => error.answer(),
            Self::Offline(_) => (S::NOT_IMPLEMENTED, "NotAvailableOffline"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }

    /// The stable code for programs.
    pub(crate) fn code(&self) -> &'static str {
        self.answer().1
    }

    /// What is wrong with the files of a scan, without the server's own folder, which says nothing to whoever sent them.
    pub(crate) fn scan(error: ImagingError) -> Self {
        Self::Scan(match error {
            ImagingError::InFile { error, .. } => error,
            other => Box::new(other),
        })
    }

    /// What the error counts as among the rejections, if it is one.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        if let Self::Overloaded { rejection, .. } = self {
            return Some(*rejection);
        }
        match self.answer().0.as_u16() {
            401 | 403 => Some(Rejection::Access),
            413 | 431 => Some(Rejection::TooLarge),
            400 | 405 | 415 | 422 => Some(Rejection::BadRequest),
            504 => Some(Rejection::Deadline),
            503 if matches!(self, Self::BodyTooSlow(_)) => Some(Rejection::SlowBody),
            503 => Some(Rejection::NotReady),
            _ => None,
        }
    }

    fn target(&self) -> Option<String> {
        match self {
            Self::Wire(error) => error.target().map(str::to_owned),
            Self::Picture { place, .. } | Self::MasksTooLarge { place, .. } => {
                Some(place.path.clone())
            }
            _ => None,
        }
    }

    /// Whether the connection is of no further use because the rest of the body was not read.
    fn ends_connection(&self) -> bool {
        matches!(self, Self::BodyTooLarge { .. } | Self::BodyTooSlow(_) | Self::BodyBroken(_))
    }
}

/// What the request log and the counters take from an error reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorMark {
    pub(crate) code: &'static str,
    pub(crate) rejection: Option<Rejection>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.answer();
        let mut body = ErrorBody::new(code, self.to_string());
        body.error.target = self.target();
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match &self {
            Self::Unauthorized(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Overloaded { seconds, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::NotReady(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        if self.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(ErrorMark { code, rejection: self.rejection() });
        response
    }
}
