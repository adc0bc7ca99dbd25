use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::lifetime::add;
use super::{AdminError, Put, check_name, endpoint_mut, find_deployment};
use crate::store::{DeploymentRecord, Document, Extra, RequestSettings};

/// What a deployment shall be.
#[derive(Debug, Clone, Default)]
pub struct DeploymentSpec {
    /// The model: a name of the catalog, a path, `hub:owner/name`, or an Azure model id.
    pub model: String,
    /// `f32`, `bf16` or `int8`.
    pub precision: Option<String>,
    /// Threads of the model.
    pub threads: Option<usize>,
    /// What one request may take.
    pub request_settings: RequestSettings,
    /// How long it lives.
    pub expires_in: Option<SignedDuration>,
    /// What else clients set and want to see again.
    pub extra: Extra,
}

/// Makes or changes a deployment. It gets no traffic by itself.
///
/// # Errors
/// A missing endpoint, a name, or a setting that cannot be.
pub fn put_deployment(
    document: &mut Document,
    endpoint: &str,
    name: &str,
    spec: DeploymentSpec,
) -> Result<Put, AdminError> {
    check_name(name)?;
    if spec.model.is_empty() {
        return Err(AdminError::NoModel);
    }
    if let Some(precision) = &spec.precision
        && !["f32", "bf16", "int8"].contains(&precision.as_str())
    {
        return Err(AdminError::Precision(precision.clone()));
    }
    // A model on no thread and a row without time would answer nobody.
    let numbers = [
        ("the number of threads", spec.threads.map(|threads| threads as u64)),
        ("the time for a row in milliseconds", spec.request_settings.timeout_ms),
    ];
    if let Some((what, _)) = numbers.into_iter().find(|(_, number)| *number == Some(0)) {
        return Err(AdminError::Number { what, found: "0".to_owned() });
    }
    let now = Timestamp::now();
    let expires = spec.expires_in.map(|lifetime| add(now, lifetime)).transpose()?;
    let deployments = &mut endpoint_mut(document, endpoint)?.deployments;
    let created = deployments.get(name).map(|existing| existing.created);
    let record = DeploymentRecord {
        model: spec.model,
        precision: spec.precision,
        threads: spec.threads,
        request_settings: spec.request_settings,
        expires,
        created: created.unwrap_or(now),
        modified: now,
        extra: spec.extra,
    };
    deployments.insert(name.to_owned(), record);
    Ok(if created.is_some() { Put::Updated } else { Put::Created })
}

/// Deletes a deployment that gets no traffic.
///
/// # Errors
/// When there is none, or it gets traffic.
pub fn delete_deployment(
    document: &mut Document,
    endpoint: &str,
    name: &str,
) -> Result<(), AdminError> {
    let record = endpoint_mut(document, endpoint)?;
    find_deployment(record, endpoint, name)?;
    if let Some(&percent) = record.traffic.get(name) {
        return Err(AdminError::InTraffic { name: name.to_owned(), percent });
    }
    record.deployments.remove(name);
    record.mirror_traffic.remove(name);
    Ok(())
}

/// Deletes the deployments whose time is over, and of rotated keys the old ones whose grace is; answers whether there
/// were any. An expired key stays listed until it is revoked, so that whoever shows it is told why it fails. Traffic that went to such a deployment is shared among the others in proportion.
pub fn delete_expired(document: &mut Document, now: Timestamp) -> bool {
    let mut changed = false;
    for endpoint in document.endpoints.values_mut() {
        let before = endpoint.deployments.len();
        endpoint
            .deployments
            .retain(|_, deployment| deployment.expires.is_none_or(|expires| expires > now));
        if endpoint.deployments.len() < before {
            changed = true;
            endpoint.mirror_traffic.retain(|name, _| endpoint.deployments.contains_key(name));
            endpoint.traffic.retain(|name, _| endpoint.deployments.contains_key(name));
            spread(&mut endpoint.traffic);
        }
    }
    for key in &mut document.keys {
        if key.retired.as_ref().is_some_and(|retired| retired.until <= now) {
            key.retired = None;
            changed = true;
        }
    }
    changed
}

/// Scales percentages up to 100.
fn spread(traffic: &mut BTreeMap<String, u8>) {
    let sum: u32 = traffic.values().map(|&percent| u32::from(percent)).sum();
    if sum == 0 {
        return;
    }
    let mut left = 100;
    for percent in traffic.values_mut() {
        *percent = u8::try_from(u32::from(*percent) * 100 / sum).unwrap_or(100);
        left -= *percent;
    }
    if let Some(first) = traffic.values_mut().next() {
        *first += left;
    }
}
