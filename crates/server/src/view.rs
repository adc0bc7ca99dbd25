//! What a page needs to know before it asks: how this server is spoken to, and what its model finds.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;

use crate::errors::ApiError;
use crate::manage::workspace_id;
use crate::routing::route;
use crate::{Access, AppState, TargetGroup};

/// The server, as anybody may see it.
#[derive(Serialize)]
pub(crate) struct ServerView {
    name: &'static str,
    version: &'static str,
    /// Whether calls need a key.
    keys: bool,
    /// Where the management routes begin.
    workspace: String,
}

/// `GET /api/v1/server`.
pub(crate) async fn server(State(state): State<AppState>) -> Json<ServerView> {
    Json(ServerView {
        name: "medparse",
        version: env!("CARGO_PKG_VERSION"),
        keys: state.config().access == Access::Keys,
        workspace: workspace_id(&state),
    })
}

/// The model that answers a caller.
#[derive(Serialize)]
pub(crate) struct ModelView {
    endpoint: String,
    deployment: String,
    model: String,
    version: String,
    precision: String,
    description: String,
    targets: Vec<TargetGroup>,
}

/// `GET /api/v1/model`, `GET /api/v1/endpoints/{endpoint}/model`.
pub(crate) async fn model(
    State(state): State<AppState>,
    endpoint: Option<Path<String>>,
    headers: HeaderMap,
) -> Result<Json<ModelView>, ApiError> {
    let endpoint = endpoint.map(|Path(name)| name);
    let target = route(&state, endpoint.as_deref(), &headers)?.target;
    let card = target.card().clone();
    Ok(Json(ModelView {
        endpoint: target.endpoint,
        deployment: target.deployment,
        model: card.name,
        version: card.version,
        precision: card.precision,
        description: card.description,
        targets: card.targets,
    }))
}
