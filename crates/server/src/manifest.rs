//! Endpoints and deployments from a YAML file: this program's own, which holds an endpoint with its deployments, and
//! the ones that `az ml online-endpoint create` and `az ml online-deployment create` read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::admin::{DeploymentSpec, EndpointSpec, parse_lifetime, put_deployment, put_endpoint};
use crate::manage::model_name;
use crate::store::{AuthMode, Document, Extra, RequestSettings};
use crate::{AdminError, CatalogEntry};

/// Why a file cannot be applied.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is not YAML, or not of a known shape.
    #[error("the file is not an endpoint or a deployment: {0}")]
    Unreadable(String),
    /// What it asks for cannot be.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

/// What a file asks for.
#[derive(Debug, Clone)]
pub struct Manifest(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Endpoint(Endpoint),
    Deployment(NamedDeployment),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    name: String,
    #[serde(default)]
    auth_mode: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tags: Map<String, Value>,
    #[serde(default)]
    properties: Map<String, Value>,
    #[serde(default)]
    traffic: Option<BTreeMap<String, u8>>,
    #[serde(default)]
    mirror_traffic: Option<BTreeMap<String, u8>>,
    #[serde(default)]
    deployments: BTreeMap<String, Deployment>,
}

#[derive(Debug, Clone, Deserialize)]
struct NamedDeployment {
    name: String,
    endpoint_name: String,
    #[serde(flatten)]
    deployment: Deployment,
}

/// A deployment. What an Azure file says about machines, probes and containers is read and shown again, and has no
/// effect here.
#[derive(Debug, Clone, Deserialize)]
struct Deployment {
    model: String,
    #[serde(default)]
    precision: Option<String>,
    #[serde(default)]
    threads: Option<usize>,
    #[serde(default)]
    expires_in: Option<String>,
    #[serde(default)]
    request_settings: Settings,
    #[serde(default)]
    tags: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Settings {
    #[serde(default)]
    request_timeout_ms: Option<u64>,
}

/// Members of Azure's deployment files that have no effect on what a deployment answers.
const TOLERATED: [&str; 17] = [
    "$schema",
    "name",
    "endpoint_name",
    "description",
    "properties",
    "type",
    "instance_type",
    "instance_count",
    "environment",
    "environment_variables",
    "model_mount_path",
    "scale_settings",
    "liveness_probe",
    "readiness_probe",
    "app_insights_enabled",
    "egress_public_network_access",
    "data_collector",
];

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not YAML, lacks a name or a model, or holds a member that nobody knows.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let unreadable = |error: String| ManifestError::Unreadable(error);
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if value.get("endpoint_name").is_none() {
            let endpoint: Endpoint =
                serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
            endpoint
                .deployments
                .iter()
                .try_for_each(|(name, deployment)| deployment.check(name))?;
            return Ok(Self(Kind::Endpoint(endpoint)));
        }
        let named: NamedDeployment =
            serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
        named.deployment.check(&named.name)?;
        Ok(Self(Kind::Deployment(named)))
    }

    /// The endpoint that the file is about.
    pub fn endpoint(&self) -> &str {
        match &self.0 {
            Kind::Endpoint(endpoint) => &endpoint.name,
            Kind::Deployment(named) => &named.endpoint_name,
        }
    }

    /// Makes or changes what the file names; what it does not name stays.
    ///
    /// # Errors
    /// When something in it cannot be; nothing is half done when the document is then dropped.
    pub fn apply(
        &self,
        document: &mut Document,
        catalog: &[CatalogEntry],
    ) -> Result<(), AdminError> {
        match &self.0 {
            Kind::Deployment(named) => {
                let spec = named.deployment.spec(catalog)?;
                put_deployment(document, &named.endpoint_name, &named.name, spec).map(|_| ())
            }
            Kind::Endpoint(endpoint) => endpoint.apply(document, catalog),
        }
    }
}

impl Endpoint {
    fn apply(&self, document: &mut Document, catalog: &[CatalogEntry]) -> Result<(), AdminError> {
        let auth_mode = match &self.auth_mode {
            Some(name) => {
                Some(AuthMode::from_name(name).ok_or_else(|| AdminError::AuthMode(name.clone()))?)
            }
            None => None,
        };
        let mut properties = Map::new();
        properties.insert("properties".to_owned(), self.properties.clone().into());
        if let Some(description) = &self.description {
            properties.insert("description".to_owned(), json!(description));
        }
        let extra = Some(Extra { tags: self.tags.clone(), properties, members: Map::new() });
        put_endpoint(
            document,
            &self.name,
            EndpointSpec { auth_mode, extra, ..EndpointSpec::default() },
        )?;
        for (name, deployment) in &self.deployments {
            put_deployment(document, &self.name, name, deployment.spec(catalog)?)?;
        }
        // The deployments must be there before they get traffic.
        let (traffic, mirror_traffic) = (self.traffic.clone(), self.mirror_traffic.clone());
        put_endpoint(
            document,
            &self.name,
            EndpointSpec { traffic, mirror_traffic, ..EndpointSpec::default() },
        )?;
        Ok(())
    }
}

impl Deployment {
    fn check(&self, name: &str) -> Result<(), ManifestError> {
        match self.rest.keys().find(|key| !TOLERATED.contains(&key.as_str())) {
            Some(key) if key == "code_configuration" => Err(ManifestError::Unreadable(format!(
                "the deployment {name} has a scoring script (code_configuration), which cannot run here"
            ))),
            Some(key) => Err(ManifestError::Unreadable(format!(
                "the deployment {name} has the unknown member {key:?}"
            ))),
            None => Ok(()),
        }
    }

    fn spec(&self, catalog: &[CatalogEntry]) -> Result<DeploymentSpec, AdminError> {
        let kept = [
            ("instance_type", "instanceType"),
            ("description", "description"),
            ("properties", "properties"),
        ];
        let mut properties = Map::new();
        for (yaml, rest) in kept {
            if let Some(value) = self.rest.get(yaml) {
                properties.insert(rest.to_owned(), value.clone());
            }
        }
        properties.insert("model".to_owned(), json!(self.model));
        Ok(DeploymentSpec {
            model: model_name(catalog, &self.model),
            precision: self.precision.clone(),
            threads: self.threads,
            request_settings: RequestSettings {
                timeout_ms: self.request_settings.request_timeout_ms,
            },
            expires_in: self.expires_in.as_deref().map(parse_lifetime).transpose()?,
            extra: Extra { tags: self.tags.clone(), properties, members: Map::new() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "
name: ward7
auth_mode: key
tags: {ward: 7}
traffic: {blue: 90, green: 10}
deployments:
  blue: {model: bundled, precision: bf16, threads: 8}
  green:
    model: azureml://registries/azureml/models/MedImageParse/versions/5
    expires_in: 168h
    request_settings: {request_timeout_ms: 90000}
";
    const AZURE: &str = "
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: red
endpoint_name: ward7
model: azureml:second:1
instance_type: Standard_DS3_v2
instance_count: 1
";

    fn catalog() -> Vec<CatalogEntry> {
        vec![CatalogEntry {
            name: "bundled".into(),
            version: "1".into(),
            description: String::new(),
        }]
    }

    #[test]
    fn a_file_makes_an_endpoint_and_another_adds_to_it() {
        let mut document = Document::default();
        for text in [OWN, AZURE, OWN] {
            Manifest::parse(text).unwrap().apply(&mut document, &catalog()).unwrap();
        }
        let endpoint = &document.endpoints["ward7"];
        assert_eq!(endpoint.traffic, [("blue".to_owned(), 90), ("green".to_owned(), 10)].into());
        assert_eq!(endpoint.deployments.len(), 3);
        let (blue, green) = (&endpoint.deployments["blue"], &endpoint.deployments["green"]);
        assert_eq!((blue.precision.as_deref(), blue.threads), (Some("bf16"), Some(8)));
        assert_eq!((&*green.model, green.request_settings.timeout_ms), ("bundled", Some(90_000)));
        assert!(green.expires.is_some());
        assert_eq!(endpoint.deployments["red"].model, "second");
    }

    #[test]
    fn what_nobody_knows_is_named() {
        for (text, part) in [
            ("name: [", "the file is not an endpoint or a deployment"),
            ("auth_mode: key", "missing field `name`"),
            ("name: e\ntrafic: {}", "unknown field `trafic`"),
            (
                "name: e\ndeployments: {d: {model: m, presicion: f32}}",
                "the deployment d has the unknown member \"presicion\"",
            ),
            (
                "name: d\nendpoint_name: e\nmodel: m\ncode_configuration: {code: src}",
                "which cannot run here",
            ),
            ("name: d\nendpoint_name: e", "missing field `model`"),
        ] {
            let error = Manifest::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let wrong = Manifest::parse("name: e\ntraffic: {d: 100}").unwrap();
        assert!(matches!(
            wrong.apply(&mut Document::default(), &[]),
            Err(AdminError::TrafficUnknown(_))
        ));
        for setting in ["threads: 0", "request_settings: {request_timeout_ms: 0}"] {
            let text = format!("name: e\ndeployments: {{d: {{model: m, {setting}}}}}");
            let zero = Manifest::parse(&text).unwrap().apply(&mut Document::default(), &[]);
            assert!(matches!(zero, Err(AdminError::Number { .. })), "{setting}");
        }
    }
}
