use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoints::EndpointPath;
use super::models::model_name;
use super::resource::{self, Body};
use crate::admin::{
    DeploymentSpec, Put, delete_deployment, find_deployment, find_endpoint, parse_lifetime,
    put_deployment,
};
use crate::base::Base;
use crate::body::read_object;
use crate::errors::ApiError;
use crate::runtime::Status;
use crate::store::{DeploymentRecord, RequestSettings};
use crate::{AdminError, AppState};

/// Where clients of Azure Resource Manager look for how far a long-running change is.
const ASYNC_OPERATION: &str = "azure-asyncoperation";

#[derive(Deserialize)]
pub(super) struct DeploymentPath {
    endpoint: String,
    deployment: String,
}

/// `GET onlineEndpoints/{endpoint}/deployments`.
pub(super) async fn list(
    State(state): State<AppState>,
    Path(path): Path<EndpointPath>,
) -> Result<Json<Value>, ApiError> {
    let document = state.document()?;
    let name = &path.endpoint;
    let endpoint = find_endpoint(&document, name)?;
    let shown = |(deployment, record): (&String, &DeploymentRecord)| {
        resource::deployment(&state, name, deployment, record)
    };
    Ok(Json(resource::page(endpoint.deployments.iter().map(shown).collect())))
}

/// `GET onlineEndpoints/{endpoint}/deployments/{deployment}`.
pub(super) async fn show(
    State(state): State<AppState>,
    Path(path): Path<DeploymentPath>,
) -> Result<Json<Value>, ApiError> {
    let record = find(&state, &path)?;
    Ok(Json(resource::deployment(&state, &path.endpoint, &path.deployment, &record)))
}

/// `PUT onlineEndpoints/{endpoint}/deployments/{deployment}`: the model is loaded in the background, and the header
/// Azure-AsyncOperation names where to ask how far it is.
pub(super) async fn put(
    State(state): State<AppState>,
    Base(base): Base,
    Path(path): Path<DeploymentPath>,
    request: Request,
) -> Result<Response, ApiError> {
    let body: Body = read_object(&state, request).await?;
    let spec = spec(&state, body)?;
    let (endpoint, name) = (path.endpoint.clone(), path.deployment.clone());
    let put =
        state.change(move |document| put_deployment(document, &endpoint, &name, spec)).await?;
    let record = find(&state, &path)?;
    let shown = resource::deployment(&state, &path.endpoint, &path.deployment, &record);
    let status = if put == Put::Created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json(shown)).into_response();
    let (workspace, DeploymentPath { endpoint, deployment }) =
        (resource::workspace_id(&state), path);
    let operation =
        format!("{base}{workspace}/onlineEndpoints/{endpoint}/deployments/{deployment}/status");
    let operation = HeaderValue::from_str(&operation).map_err(|_| ApiError::Internal)?;
    response.headers_mut().insert(ASYNC_OPERATION, operation);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

/// What the body asks for. Settings that Azure has no word for are environment variables of the deployment, under the
/// names that they have for `medparse serve`.
fn spec(state: &AppState, body: Body) -> Result<DeploymentSpec, ApiError> {
    let properties = &body.properties;
    let model = properties.get("model").and_then(Value::as_str).unwrap_or_default();
    let variable = |name: &str| {
        let value = properties.get("environmentVariables")?.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let threads = match variable("MEDPARSE_THREADS") {
        Some(text) => match text.parse() {
            Ok(threads) if threads > 0 => Some(threads),
            _ => return Err(AdminError::Number { what: "MEDPARSE_THREADS", found: text }.into()),
        },
        None => None,
    };
    let expires_in =
        variable("MEDPARSE_EXPIRES_IN").map(|text| parse_lifetime(&text)).transpose()?;
    let timeout =
        properties.get("requestSettings").and_then(|settings| settings.get("requestTimeout"));
    Ok(DeploymentSpec {
        model: model_name(&state.runtime().catalog(), model),
        precision: variable("MEDPARSE_PRECISION"),
        threads,
        request_settings: RequestSettings {
            timeout_ms: timeout.and_then(Value::as_str).map(millis).transpose()?,
        },
        expires_in,
        extra: body.extra(),
    })
}

/// The milliseconds of an ISO 8601 duration such as `PT1M30S`.
fn millis(text: &str) -> Result<u64, ApiError> {
    let duration: Result<SignedDuration, _> = text.parse();
    duration
        .ok()
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .filter(|&millis| millis > 0)
        .ok_or_else(|| {
            ApiError::BadRequest(format!(
                "requestSettings.requestTimeout {text:?} is not a duration such as PT1M30S"
            ))
        })
}

/// `DELETE onlineEndpoints/{endpoint}/deployments/{deployment}`: done when it answers.
pub(super) async fn delete(
    State(state): State<AppState>,
    Path(path): Path<DeploymentPath>,
) -> Result<StatusCode, ApiError> {
    let DeploymentPath { endpoint, deployment } = path;
    let deleted =
        state.change(move |document| delete_deployment(document, &endpoint, &deployment)).await;
    match deleted {
        Ok(()) => Ok(StatusCode::OK),
        Err(ApiError::Admin(AdminError::NoEndpoint(_) | AdminError::NoDeployment { .. })) => {
            Ok(StatusCode::NO_CONTENT)
        }
        Err(error) => Err(error),
    }
}

/// `GET …/deployments/{deployment}/status`: how far the loading is, in the words of Azure's asynchronous operations.
pub(super) async fn status(
    State(state): State<AppState>,
    Path(path): Path<DeploymentPath>,
) -> Result<Response, ApiError> {
    find(&state, &path)?;
    let answer = match state.runtime().status(&path.endpoint, &path.deployment) {
        Status::Loading => json!({"status": "InProgress"}),
        Status::Ready => json!({"status": "Succeeded"}),
        Status::Failed(reason) => {
            json!({"status": "Failed", "error": {"code": "ModelNotLoaded", "message": reason}})
        }
    };
    Ok(([(header::RETRY_AFTER, "1")], Json(answer)).into_response())
}

#[derive(Deserialize)]
struct LogRequest {
    tail: Option<usize>,
}

/// `POST …/deployments/{deployment}/getLogs`.
pub(super) async fn logs(
    State(state): State<AppState>,
    Path(path): Path<DeploymentPath>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let asked: LogRequest = read_object(&state, request).await?;
    find(&state, &path)?;
    let lines = state.runtime().log(&path.endpoint, &path.deployment, asked.tail.unwrap_or(100));
    Ok(Json(json!({ "content": lines.join("\n") })))
}

fn find(state: &AppState, path: &DeploymentPath) -> Result<DeploymentRecord, ApiError> {
    let document = state.document()?;
    let endpoint = find_endpoint(&document, &path.endpoint)?;
    Ok(find_deployment(endpoint, &path.endpoint, &path.deployment)?.clone())
}
