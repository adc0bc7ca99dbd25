use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Response as HttpResponse;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::errors::ApiError;
use crate::{
    AppState, audit, auth, body, export, health, ids, linger, manage, metrics, mlflow, monai,
    openapi, page, rates, score, segment, telemetry, v2, view, volume,
};

/// Every route of the server, ready to be served or to be asked without a socket.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/", get(health::live))
        .route("/ready", get(health::ready))
        .route("/score", get(score::get).post(score::post))
        .route("/endpoints/{endpoint}/score", get(score::get).post(score::post))
        .route("/swagger.json", get(openapi::swagger))
        .route("/ping", get(health::ready))
        .route("/health", get(health::ready))
        .route("/version", get(mlflow::version))
        .route("/invocations", post(mlflow::invocations))
        .route("/v2", get(v2::server))
        .route("/v2/health/live", get(health::v2_live))
        .route("/v2/health/ready", get(health::v2_ready))
        .route("/v2/models/{model}", get(v2::model))
        .route("/v2/models/{model}/ready", get(v2::model_ready))
        .route("/v2/models/{model}/infer", post(v2::infer))
        .route("/v2/models/{model}/versions/{version}", get(v2::model))
        .route("/v2/models/{model}/versions/{version}/ready", get(v2::model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(v2::infer))
        .route("/api/v1/segment", post(segment::segment))
        .route("/api/v1/endpoints/{endpoint}/segment", post(segment::segment))
        .route("/api/v1/server", get(view::server))
        .route("/api/v1/model", get(view::model))
        .route("/api/v1/endpoints/{endpoint}/model", get(view::model))
        .route("/api/v1/volume", post(volume::volume))
        .route("/api/v1/export", post(export::export))
        .route("/metrics", get(metrics::metrics))
        .route("/identity/token", get(auth::token_route))
        .merge(manage::routes(&state))
        .merge(monai::routes())
        .merge(page::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // The size is bounded while the body is read, after decompression.
        .layer(DefaultBodyLimit::disable())
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn(body::check_encoding))
        .layer(from_fn_with_state(state.clone(), auth::guard_loopback))
        // Masks are long runs of two values: the fastest level already makes them small.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| -> HttpResponse<axum::body::Body> {
                ApiError::Internal.into_response()
            },
        ))
        .layer(from_fn_with_state(state.clone(), rates::limit))
        .layer(from_fn_with_state(state.clone(), audit::guard))
        .layer(from_fn_with_state(state.clone(), telemetry::record))
        // Before anything asks who is calling, the record included.
        .layer(from_fn_with_state(state.clone(), auth::know_issuer))
        .layer(from_fn_with_state(state.clone(), ids::echo))
        .layer(from_fn_with_state(state.clone(), linger::linger))
        .with_state(state)
}

/// Paths that ask nobody for a key, count against no rate and leave no line in the audit log: health checks, the page,
/// descriptions.
pub(crate) fn is_public(path: &str) -> bool {
    const PUBLIC: [&str; 8] =
        ["/", "/ready", "/ping", "/health", "/version", "/swagger.json", "/v2", "/api/v1/server"];
    PUBLIC.contains(&path) || path.starts_with("/ui") || path.starts_with("/v2/health/")
}

async fn no_route(request: Request) -> ApiError {
    ApiError::NoRoute(shortened(request.uri().path()))
}

async fn no_method(request: Request) -> ApiError {
    ApiError::Method(request.method().to_string())
}

fn shortened(path: &str) -> String {
    path.chars().take(120).collect()
}
