use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use super::resource::{LOCATION, workspace_id};
use crate::AppState;
use crate::errors::ApiError;

/// `GET workspaces/{workspace}`: enough for azure-ai-ml, which asks for the location before every creation.
pub(super) async fn show(State(state): State<AppState>) -> Json<Value> {
    let workspace = &state.config().workspace;
    Json(json!({
        "id": workspace_id(&state),
        "name": workspace.name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": LOCATION,
        "kind": "Default",
        "tags": {},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "friendlyName": workspace.name,
            "description": "medparse on this machine",
            "workspaceId": workspace.subscription_id,
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled",
        },
    }))
}

/// What a workspace in Azure has and this server has not.
pub(super) async fn offline(request: Request) -> ApiError {
    let path = request.uri().path();
    let rest = path
        .split("/workspaces/")
        .nth(1)
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, rest)| rest);
    let kind = rest.split('/').next().unwrap_or_default();
    let instead = match kind {
        "datastores" | "codes" | "environments" => {
            "there is no storage or container registry behind it: name an installed model in the deployment instead \
             (`ml_client.models.list()` lists them) and leave code and environment out"
        }
        "batchEndpoints" => "use `medparse batch`, which reads and writes the same files",
        "jobs" => "use `medparse train`",
        "serverlessEndpoints" => "deploy with ManagedOnlineDeployment",
        _ => "it serves online endpoints, their deployments and installed models",
    };
    let kind: String = kind.chars().take(40).collect();
    ApiError::Offline(format!("{kind:?} are not served by medparse on this machine: {instead}"))
}
