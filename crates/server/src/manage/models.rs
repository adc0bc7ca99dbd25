//! The installed models, as a workspace lists its registered ones.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resource::{page, workspace_id};
use crate::errors::ApiError;
use crate::{AppState, CatalogEntry};

#[derive(Deserialize)]
pub(super) struct ModelPath {
    model: String,
    version: Option<String>,
}

/// `GET models`.
pub(super) async fn list(State(state): State<AppState>) -> Json<Value> {
    Json(page(state.runtime().catalog().iter().map(|entry| container(&state, entry)).collect()))
}

/// `GET models/{model}`.
pub(super) async fn show(
    State(state): State<AppState>,
    Path(path): Path<ModelPath>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(container(&state, &find(&state, &path)?)))
}

/// `GET models/{model}/versions`.
pub(super) async fn versions(
    State(state): State<AppState>,
    Path(path): Path<ModelPath>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(page(vec![versioned(&state, &find(&state, &path)?)])))
}

/// `GET models/{model}/versions/{version}`.
pub(super) async fn version(
    State(state): State<AppState>,
    Path(path): Path<ModelPath>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(versioned(&state, &find(&state, &path)?)))
}

fn find(state: &AppState, path: &ModelPath) -> Result<CatalogEntry, ApiError> {
    let catalog = state.runtime().catalog();
    let fits = |entry: &&CatalogEntry| {
        entry.name == path.model
            && path.version.as_ref().is_none_or(|version| *version == entry.version)
    };
    catalog.iter().find(fits).cloned().ok_or_else(|| {
        let installed: Vec<_> =
            catalog.iter().map(|entry| format!("{}:{}", entry.name, entry.version)).collect();
        let asked = path
            .version
            .as_ref()
            .map_or_else(|| path.model.clone(), |v| format!("{}:{v}", path.model));
        ApiError::NotFound(format!(
            "the model {asked} is not installed here; installed are {}",
            installed.join(", ")
        ))
    })
}

fn container(state: &AppState, entry: &CatalogEntry) -> Value {
    json!({
        "id": format!("{}/models/{}", workspace_id(state), entry.name),
        "name": entry.name,
        "type": "Microsoft.MachineLearningServices/workspaces/models",
        "properties": {
            "description": entry.description,
            "latestVersion": entry.version,
            "isArchived": false,
            "tags": {},
            "properties": {},
        },
    })
}

fn versioned(state: &AppState, entry: &CatalogEntry) -> Value {
    json!({
        "id": format!("{}/models/{}/versions/{}", workspace_id(state), entry.name, entry.version),
        "name": entry.version,
        "type": "Microsoft.MachineLearningServices/workspaces/models/versions",
        "properties": {
            "description": entry.description,
            "modelType": "custom_model",
            "modelUri": format!("medparse:{}", entry.name),
            "isArchived": false,
            "isAnonymous": false,
            "tags": {},
            "properties": {},
            "flavors": {},
        },
    })
}

/// The model that an Azure model id stands for; anything else is a name, a path or `hub:owner/name` already.
///
/// The registry's own MedImageParse stands for the server's first model, so that a deployment notebook runs as it
/// stands.
pub(crate) fn model_name(catalog: &[CatalogEntry], reference: &str) -> String {
    let is_id = reference.starts_with("azureml:")
        || reference.to_ascii_lowercase().starts_with("/subscriptions/");
    let mut parts =
        reference.split('/').skip_while(|part| !part.eq_ignore_ascii_case("models")).skip(1);
    let name = match parts.next() {
        Some(name) if is_id => name,
        _ => reference
            .strip_prefix("azureml:")
            .map_or(reference, |rest| rest.split(':').next().unwrap_or(rest)),
    };
    match catalog.first() {
        Some(first) if name.eq_ignore_ascii_case("MedImageParse") => first.name.clone(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_ids_stand_for_installed_models() {
        let catalog = [CatalogEntry {
            name: "bundled".into(),
            version: "1".into(),
            description: String::new(),
        }];
        for (reference, name) in [
            ("azureml://registries/azureml/models/MedImageParse/versions/5", "bundled"),
            ("azureml://registries/azureml/models/MedImageParse/labels/latest", "bundled"),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/models/mine/versions/2",
                "mine",
            ),
            ("azureml:mine:2", "mine"),
            ("bundled", "bundled"),
            ("/data/models/best.safetensors", "/data/models/best.safetensors"),
            ("hub:owner/name", "hub:owner/name"),
            ("", ""),
        ] {
            assert_eq!(model_name(&catalog, reference), name, "{reference}");
        }
    }
}
