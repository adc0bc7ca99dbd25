//! Which deployment answers a request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

use crate::admin::{find_deployment, find_endpoint};
use crate::auth::authorize_score;
use crate::errors::ApiError;
use crate::runtime::{LoadedModel, Status};
use crate::store::{Document, EndpointRecord};
use crate::{AppState, ModelCard};

/// The header that picks a deployment, and that names in the reply which one answered.
pub(crate) const DEPLOYMENT: HeaderName = HeaderName::from_static("azureml-model-deployment");

/// A deployment that answers, and one that gets a copy.
pub(crate) struct Route {
    pub(crate) target: Target,
    pub(crate) mirror: Option<Target>,
}

/// A deployment and its model.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) deployment: String,
    pub(crate) model: Arc<LoadedModel>,
    /// Time for one row.
    pub(crate) row: Duration,
}

impl Target {
    /// What the model says of itself.
    pub(crate) fn card(&self) -> &ModelCard {
        self.model.segmenter.card()
    }
}

/// Finds the deployment for a request to `endpoint` (the default one when none is named), after checking that the
/// caller may use it.
pub(crate) fn route(
    state: &AppState,
    endpoint: Option<&str>,
    headers: &HeaderMap,
) -> Result<Route, ApiError> {
    let document = state.document()?;
    let (name, record) = find(&document, endpoint)?;
    let only = authorize_score(state, &document, headers, name, record)?;
    let asked = match headers.get(DEPLOYMENT) {
        Some(value) => Some(value.to_str().map_err(|_| {
            ApiError::BadRequest(
                "the header azureml-model-deployment is not a deployment's name".to_owned(),
            )
        })?),
        None => None,
    };
    if let Some(asked) = asked {
        check_deployment(only.as_deref(), asked)?;
    }
    // A header or a key that names a deployment goes before the traffic rules, and is not mirrored.
    if let Some(deployment) = asked.or(only.as_deref()) {
        return Ok(Route { target: target(state, name, record, deployment)?, mirror: None });
    }
    let turn = state.turns().live.next();
    let deployment = pick(&record.traffic, turn).ok_or_else(|| {
        ApiError::NotFound(format!(
            "the endpoint {name} gives no deployment any traffic; set its traffic, or name a deployment in the header \
             azureml-model-deployment"
        ))
    })?;
    let target = target(state, name, record, deployment)?;
    let mirror = pick(&record.mirror_traffic, state.turns().mirrored.next())
        .and_then(|deployment| self::target(state, name, record, deployment).ok());
    Ok(Route { target, mirror })
}

/// Whether a caller may ask a deployment, given the only one that its key is good for, if there is one.
pub(crate) fn check_deployment(only: Option<&str>, asked: &str) -> Result<(), ApiError> {
    match only {
        Some(only) if only != asked => {
            Err(ApiError::Forbidden(format!("the key is good for the deployment {only} only")))
        }
        _ => Ok(()),
    }
}

/// Whether the caller may ask the default endpoint, whichever of its deployments.
pub(crate) fn admit(state: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    let document = state.document()?;
    let (name, record) = find(&document, None)?;
    authorize_score(state, &document, headers, name, record).map(drop)
}

/// The endpoint of that name, or the default one.
pub(crate) fn find<'a>(
    document: &'a Document,
    name: Option<&'a str>,
) -> Result<(&'a str, &'a EndpointRecord), ApiError> {
    let name = match name.or(document.default_endpoint.as_deref()) {
        Some(name) => name,
        None => {
            let sentence =
                "there is no endpoint; `medparse endpoint create` or azure-ai-ml makes one";
            return Err(ApiError::NotFound(sentence.to_owned()));
        }
    };
    Ok((name, find_endpoint(document, name)?))
}

/// A deployment of an endpoint, with the model that answers for it.
pub(crate) fn target(
    state: &AppState,
    endpoint: &str,
    record: &EndpointRecord,
    name: &str,
) -> Result<Target, ApiError> {
    let deployment = find_deployment(record, endpoint, name)?;
    let Some(model) = state.runtime().serving(endpoint, name) else {
        return Err(ApiError::NotReady(match state.runtime().status(endpoint, name) {
            Status::Failed(reason) => format!("the deployment {name} has no model: {reason}"),
            _ => format!("the deployment {name} is still loading its model"),
        }));
    };
    let row = deployment
        .request_settings
        .timeout_ms
        .map_or(state.config().timeouts.row, Duration::from_millis);
    Ok(Target { endpoint: endpoint.to_owned(), deployment: name.to_owned(), model, row })
}

/// The turns of live and of mirrored requests.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    live: Turn,
    mirrored: Turn,
}

/// A sequence that visits 0..100 evenly: after every hundred or so requests the shares are met, without the runs of
/// luck that drawing lots has. (Steps of the golden ratio: Weyl's sequence.)
#[derive(Debug, Default)]
struct Turn(AtomicU32);

impl Turn {
    fn next(&self) -> u8 {
        let step = self.0.fetch_add(0x9e37_79b9, Ordering::Relaxed);
        u8::try_from((u64::from(step) * 100) >> 32).unwrap_or(99)
    }
}

/// The deployment whose share of 0..100 the turn falls into.
fn pick(shares: &BTreeMap<String, u8>, turn: u8) -> Option<&str> {
    let mut end = 0u32;
    shares.iter().find_map(|(name, &percent)| {
        end += u32::from(percent);
        (u32::from(turn) < end).then_some(name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met() {
        let shares: BTreeMap<String, u8> =
            [("blue".to_owned(), 90), ("green".to_owned(), 10)].into();
        let turns = Turn::default();
        for _ in 0..20 {
            let green = (0..100).filter(|_| pick(&shares, turns.next()) == Some("green")).count();
            assert!((8..=12).contains(&green), "{green} of 100");
        }
        assert_eq!(pick(&[("blue".to_owned(), 30)].into(), 30), None);
        assert_eq!(pick(&BTreeMap::new(), 0), None);
    }
}
