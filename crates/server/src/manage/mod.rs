//! The management API: the part of Azure Resource Manager that azure-ai-ml uses for online endpoints, on the state
//! that `/score` serves; and the keys, which Azure has no API for.

mod credentials;
mod deployments;
mod endpoints;
mod grants;
mod models;
mod resource;
mod workspace;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};

pub(crate) use models::model_name;
pub(crate) use resource::workspace_id;

use crate::AppState;
use crate::auth::authorize_manage;
use crate::errors::ApiError;

/// Where Azure keeps the resources of a workspace.
const WORKSPACE: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}";

/// The routes, each behind the scope `manage`.
pub(crate) fn routes(state: &AppState) -> Router<AppState> {
    let at = |path: &str| format!("{WORKSPACE}{path}");
    Router::new()
        .route(WORKSPACE, get(workspace::show))
        .route(&at("/onlineEndpoints"), get(endpoints::list))
        .route(
            &at("/onlineEndpoints/{endpoint}"),
            get(endpoints::show)
                .put(endpoints::put)
                .patch(endpoints::patch)
                .delete(endpoints::delete),
        )
        .route(&at("/onlineEndpoints/{endpoint}/listKeys"), post(credentials::list_keys))
        .route(
            &at("/onlineEndpoints/{endpoint}/regenerateKeys"),
            post(credentials::regenerate_keys),
        )
        .route(&at("/onlineEndpoints/{endpoint}/token"), post(credentials::token))
        .route(&at("/onlineEndpoints/{endpoint}/deployments"), get(deployments::list))
        .route(
            &at("/onlineEndpoints/{endpoint}/deployments/{deployment}"),
            get(deployments::show).put(deployments::put).delete(deployments::delete),
        )
        .route(
            &at("/onlineEndpoints/{endpoint}/deployments/{deployment}/getLogs"),
            post(deployments::logs),
        )
        .route(
            &at("/onlineEndpoints/{endpoint}/deployments/{deployment}/status"),
            get(deployments::status),
        )
        .route(&at("/models"), get(models::list))
        .route(&at("/models/{model}"), get(models::show))
        .route(&at("/models/{model}/versions"), get(models::versions))
        .route(&at("/models/{model}/versions/{version}"), get(models::version))
        .route(&at("/{*rest}"), any(workspace::offline))
        .route("/api/v1/keys", get(grants::list).post(grants::grant))
        .route("/api/v1/keys/{id}", delete(grants::revoke))
        .route("/api/v1/keys/{id}/rotate", post(grants::rotate))
        .route_layer(from_fn_with_state(state.clone(), check))
}

/// Lets managers pass who name this server's workspace.
async fn check(
    State(state): State<AppState>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    if let Err(error) = authorize_manage(&state, request.headers()) {
        return error.into_response();
    }
    let workspace = &state.config().workspace;
    for (name, found) in &params {
        let expected = match name {
            "subscription" => &workspace.subscription_id,
            "group" => &workspace.resource_group,
            "workspace" => &workspace.name,
            _ => continue,
        };
        if !expected.eq_ignore_ascii_case(found) {
            let sentence = format!("this server's {name} is {expected:?}; config.json names it");
            return ApiError::NotFound(sentence).into_response();
        }
    }
    next.run(request).await
}
