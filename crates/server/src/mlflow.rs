//! What an MLflow scoring server answers beside `/ping` and `/health`, which are [`crate::health`]'s: `/version` and
//! `/invocations`.

use axum::extract::{Request, State};
use axum::response::Response;

use crate::AppState;
use crate::errors::ApiError;
use crate::prepare::Form;
use crate::scoring::{Exchange, Reply, answer};

/// `POST /invocations`.
pub(crate) async fn invocations(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(
        state,
        request,
        Exchange { endpoint: None, form: Form::Invocations, reply: Reply::Mlflow },
    )
    .await
}

/// `GET /version`: the version of the server.
pub(crate) async fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
