//! The Open Inference Protocol (KServe V2): a model's name is a deployment of the default endpoint, or an endpoint,
//! whose traffic rules then choose.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use medparse_wire::{ModelMetadata, ServerMetadata};

use crate::AppState;
use crate::admin::find_endpoint;
use crate::errors::ApiError;
use crate::health::v2_answer;
use crate::prepare::Form;
use crate::routing::{DEPLOYMENT, Target, target};
use crate::scoring::{Exchange, Reply, answer};
use crate::store::Document;

/// `GET /v2`.
pub(crate) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "medparse".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: Vec::new(),
    })
}

/// What a model's name stands for.
enum Named {
    Deployment { endpoint: String, name: String },
    Endpoint(String),
}

fn resolve(document: &Document, name: &str) -> Result<Named, ApiError> {
    if let Some(endpoint) = &document.default_endpoint
        && document
            .endpoints
            .get(endpoint)
            .is_some_and(|record| record.deployments.contains_key(name))
    {
        return Ok(Named::Deployment { endpoint: endpoint.clone(), name: name.to_owned() });
    }
    if document.endpoints.contains_key(name) {
        return Ok(Named::Endpoint(name.to_owned()));
    }
    Err(ApiError::NotFound(format!(
        "there is no model named {name:?}: expected a deployment or an endpoint"
    )))
}

/// The deployment to describe: the one named, or the endpoint's with the largest share of its traffic.
fn described(state: &AppState, name: &str) -> Result<Target, ApiError> {
    let document = state.document()?;
    let (endpoint, deployment) = match resolve(&document, name)? {
        Named::Deployment { endpoint, name } => (endpoint, name),
        Named::Endpoint(endpoint) => {
            let record = find_endpoint(&document, &endpoint)?;
            let largest =
                record.traffic.iter().max_by_key(|(_, percent)| **percent).map(|(name, _)| name);
            let Some(deployment) = largest.or_else(|| record.deployments.keys().next()).cloned()
            else {
                return Err(ApiError::NotReady(format!(
                    "the endpoint {endpoint} has no deployment"
                )));
            };
            (endpoint, deployment)
        }
    };
    target(state, &endpoint, find_endpoint(&document, &endpoint)?, &deployment)
}

/// `GET /v2/models/{name}`.
pub(crate) async fn model(
    State(state): State<AppState>,
    Path(names): Path<ModelPath>,
) -> Result<Json<ModelMetadata>, ApiError> {
    let target = described(&state, names.name())?;
    check_version(&target, &names)?;
    Ok(Json(ModelMetadata::of(names.name(), &target.card().version)))
}

/// `GET /v2/models/{name}/ready`.
pub(crate) async fn model_ready(
    State(state): State<AppState>,
    Path(names): Path<ModelPath>,
) -> Result<Response, ApiError> {
    match described(&state, names.name()) {
        Ok(target) => {
            check_version(&target, &names)?;
            Ok(v2_answer(true))
        }
        Err(ApiError::NotReady(_)) => Ok(v2_answer(false)),
        Err(error) => Err(error),
    }
}

/// `POST /v2/models/{name}/infer`.
pub(crate) async fn infer(
    State(state): State<AppState>,
    Path(names): Path<ModelPath>,
    mut request: Request,
) -> Result<Response, ApiError> {
    if names.version.is_some() {
        check_version(&described(&state, names.name())?, &names)?;
    }
    let endpoint = match resolve(&*state.document()?, names.name())? {
        Named::Endpoint(endpoint) => endpoint,
        Named::Deployment { endpoint, name } => {
            let value = HeaderValue::from_str(&name).map_err(|_| ApiError::Internal)?;
            request.headers_mut().insert(DEPLOYMENT, value);
            endpoint
        }
    };
    let reply = Reply::V2 { model: names.model };
    answer(state, request, Exchange { endpoint: Some(endpoint), form: Form::Infer, reply }).await
}

/// `{model}` and, on the longer paths, `{version}`.
#[derive(serde::Deserialize)]
pub(crate) struct ModelPath {
    model: String,
    version: Option<String>,
}

impl ModelPath {
    fn name(&self) -> &str {
        &self.model
    }
}

fn check_version(target: &Target, names: &ModelPath) -> Result<(), ApiError> {
    let found = &target.card().version;
    match &names.version {
        Some(version) if version != found => Err(ApiError::NotFound(format!(
            "the model {:?} has the version {found:?}, not {version:?}",
            names.model
        ))),
        _ => Ok(()),
    }
}
