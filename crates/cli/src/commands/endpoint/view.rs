//! Endpoints as they are shown: without hashes and random numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use medparse_server::AdminError;
use medparse_server::store::{AuthMode, DeploymentRecord, Document, EndpointRecord};
use serde::Serialize;

/// An endpoint.
#[derive(Debug, Serialize)]
pub struct EndpointView {
    name: String,
    /// Path of its scoring URI.
    scoring_path: String,
    auth_mode: AuthMode,
    traffic: BTreeMap<String, u8>,
    mirror_traffic: BTreeMap<String, u8>,
    deployments: Vec<DeploymentView>,
}

#[derive(Debug, Serialize)]
struct DeploymentView {
    name: String,
    model: String,
    precision: Option<String>,
    threads: Option<usize>,
    request_timeout_ms: Option<u64>,
    expires: Option<Timestamp>,
    created: Timestamp,
    modified: Timestamp,
}

impl EndpointView {
    /// An endpoint by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(document: &Document, name: &str) -> Result<Self, AdminError> {
        let record = document.endpoints.get(name);
        let record = record.ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))?;
        Ok(Self::new(document, name, record))
    }

    /// All endpoints.
    pub fn all(document: &Document) -> Vec<Self> {
        document.endpoints.iter().map(|(name, record)| Self::new(document, name, record)).collect()
    }

    fn new(document: &Document, name: &str, record: &EndpointRecord) -> Self {
        let is_default = document.default_endpoint.as_deref() == Some(name);
        let deployments = record.deployments.iter();
        Self {
            name: name.to_owned(),
            scoring_path: if is_default {
                "/score".to_owned()
            } else {
                format!("/endpoints/{name}/score")
            },
            auth_mode: record.auth_mode,
            traffic: record.traffic.clone(),
            mirror_traffic: record.mirror_traffic.clone(),
            deployments: deployments
                .map(|(name, record)| DeploymentView::new(name, record))
                .collect(),
        }
    }

    /// The endpoint in one line.
    pub fn line(&self) -> String {
        let Self { name, scoring_path, auth_mode, deployments, .. } = self;
        let shares: Vec<_> =
            deployments.iter().map(|deployment| self.share(&deployment.name)).collect();
        let shares = if shares.is_empty() { "no deployment".into() } else { shares.join(", ") };
        format!("{name}  {scoring_path}  {auth_mode}  {shares}")
    }

    /// The endpoint with a line for each deployment.
    pub fn text(&self) -> String {
        let mut text = self.line();
        for deployment in &self.deployments {
            let DeploymentView { name, model, precision, threads, expires, .. } = deployment;
            // Writing to a String never fails.
            let _ = write!(text, "\n  {name}: {model}");
            if let Some(precision) = precision {
                let _ = write!(text, ", {precision}");
            }
            if let Some(threads) = threads {
                let _ = write!(text, ", {threads} threads");
            }
            if let Some(expires) = expires {
                let _ = write!(text, ", until {expires:.0}");
            }
        }
        text
    }

    fn share(&self, deployment: &str) -> String {
        let live = self.traffic.get(deployment).copied().unwrap_or(0);
        match self.mirror_traffic.get(deployment) {
            Some(mirrored) => format!("{deployment} {live}% (a copy of {mirrored}%)"),
            None => format!("{deployment} {live}%"),
        }
    }
}

impl DeploymentView {
    fn new(name: &str, record: &DeploymentRecord) -> Self {
        Self {
            name: name.to_owned(),
            model: record.model.clone(),
            precision: record.precision.clone(),
            threads: record.threads,
            request_timeout_ms: record.request_settings.timeout_ms,
            expires: record.expires,
            created: record.created,
            modified: record.modified,
        }
    }
}
