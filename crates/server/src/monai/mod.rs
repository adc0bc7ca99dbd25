//! The routes of a MONAI Label server that inference needs: what there is, a session for a scan, and a label map of it.
//!
//! A deployment of the default endpoint is a model there, and `params.prompts` are the phrases. The other half of MONAI
//! Label (its data store, active learning, training) is not here.

mod infer;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::auth::authorize_score;
use crate::errors::ApiError;
use crate::routing::{Target, check_deployment, find, target};
use crate::{AppState, ModelCard};
use session::Sessions;

/// The routes, which share the scans that clients have left here.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/auth/", get(auth))
        .route("/info/", get(info))
        .route("/infer/{model}", post(infer::infer))
        .route("/session/", put(session::create))
        .route("/session/{session}", get(session::show).delete(session::remove))
        .layer(Extension(Arc::new(Sessions::default())))
}

/// `GET /auth/`: nobody logs in with a password. Where keys are asked for, a client shows its own as the token.
async fn auth() -> Json<Value> {
    Json(json!({"enabled": false}))
}

/// `GET /info/`: the deployments that answer, as models.
async fn info(State(state): State<AppState>, headers: HeaderMap) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    let (name, record) = find(&document, None)?;
    let only = authorize_score(&state, &document, &headers, name, record)?;
    let mut models = BTreeMap::new();
    let mut labels = BTreeSet::new();
    for deployment in record.deployments.keys() {
        let allowed = only.as_ref().is_none_or(|only| only == deployment);
        // One that still loads is listed once it answers.
        let Ok(found) = target(&state, name, record, deployment) else { continue };
        if allowed {
            labels.extend(targets(found.card()).map(str::to_owned));
            models.insert(deployment.clone(), describe(found.card()));
        }
    }
    Ok(Json(json!({
        "name": "medparse",
        "description": "Segmentation by phrases: say what is looked for in \"prompts\", separated by &",
        "version": env!("CARGO_PKG_VERSION"),
        "labels": labels,
        "models": models,
        "trainers": {},
        "strategies": {},
        "scoring": {},
        "train_stats": {},
        "datastore": {},
    })))
}

fn describe(card: &ModelCard) -> Value {
    // Clients show the configuration, let it be edited, and send it back among the parameters.
    let first = card.targets.first().map(|group| group.targets.join(" & ")).unwrap_or_default();
    json!({
        "type": "segmentation",
        "labels": targets(card).collect::<BTreeSet<_>>(),
        "dimension": 3,
        "description": card.description,
        "config": {"prompts": first},
    })
}

fn targets(card: &ModelCard) -> impl Iterator<Item = &str> {
    card.targets.iter().flat_map(|group| &group.targets).map(String::as_str)
}

/// The deployment that a client calls a model, after checking that the caller may use it.
fn chosen(state: &AppState, model: &str, headers: &HeaderMap) -> Result<Target, ApiError> {
    let document = state.document()?;
    let (name, record) = find(&document, None)?;
    let only = authorize_score(state, &document, headers, name, record)?;
    check_deployment(only.as_deref(), model)?;
    target(state, name, record, model)
}
