use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AdminError, Put, check_name};
use crate::auth::random_bytes;
use crate::store::{AuthMode, Document, EndpointRecord, Extra};

/// What an endpoint shall be; what is absent stays as it is, or takes its default in a new endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointSpec {
    /// How callers show who they are.
    pub auth_mode: Option<AuthMode>,
    /// Percentages of the requests, by deployment.
    pub traffic: Option<BTreeMap<String, u8>>,
    /// Percentage of the requests that one further deployment gets a copy of.
    pub mirror_traffic: Option<BTreeMap<String, u8>>,
    /// What else clients set and want to see again.
    pub extra: Option<Extra>,
}

/// Makes or changes an endpoint. The first endpoint of a server becomes the one that `/score` serves.
///
/// # Errors
/// A name or traffic that cannot be.
pub fn put_endpoint(
    document: &mut Document,
    name: &str,
    spec: EndpointSpec,
) -> Result<Put, AdminError> {
    check_name(name)?;
    let now = Timestamp::now();
    let outcome = if document.endpoints.contains_key(name) { Put::Updated } else { Put::Created };
    let mut endpoint = document.endpoints.get(name).cloned().unwrap_or_else(|| EndpointRecord {
        auth_mode: AuthMode::Key,
        nonce: base64_simd::URL_SAFE_NO_PAD.encode_to_string(random_bytes::<16>()),
        key_generations: [0, 0],
        traffic: BTreeMap::new(),
        mirror_traffic: BTreeMap::new(),
        deployments: BTreeMap::new(),
        created: now,
        modified: now,
        extra: Extra::default(),
    });
    endpoint.modified = now;
    if let Some(mode) = spec.auth_mode {
        endpoint.auth_mode = mode;
    }
    if let Some(traffic) = spec.traffic {
        endpoint.traffic = without_zeroes(traffic);
    }
    if let Some(mirror) = spec.mirror_traffic {
        endpoint.mirror_traffic = without_zeroes(mirror);
    }
    if let Some(extra) = spec.extra {
        endpoint.extra = extra;
    }
    check_traffic(&endpoint)?;
    document.endpoints.insert(name.to_owned(), endpoint);
    if document
        .default_endpoint
        .as_ref()
        .is_none_or(|default| !document.endpoints.contains_key(default))
    {
        document.default_endpoint = Some(name.to_owned());
    }
    Ok(outcome)
}

/// Deletes an endpoint with its deployments, its keys and its tokens.
///
/// # Errors
/// When there is none.
pub fn delete_endpoint(document: &mut Document, name: &str) -> Result<(), AdminError> {
    document.endpoints.remove(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))?;
    document.keys.retain(|key| key.endpoint.as_deref() != Some(name));
    if document.default_endpoint.as_deref() == Some(name) {
        document.default_endpoint = None;
    }
    Ok(())
}

fn without_zeroes(mut traffic: BTreeMap<String, u8>) -> BTreeMap<String, u8> {
    traffic.retain(|_, percent| *percent > 0);
    traffic
}

fn check_traffic(endpoint: &EndpointRecord) -> Result<(), AdminError> {
    for name in endpoint.traffic.keys().chain(endpoint.mirror_traffic.keys()) {
        if !endpoint.deployments.contains_key(name) {
            return Err(AdminError::TrafficUnknown(name.clone()));
        }
    }
    let sum: u32 = endpoint.traffic.values().map(|&percent| u32::from(percent)).sum();
    if sum != 0 && sum != 100 {
        return Err(AdminError::TrafficSum(sum));
    }
    let mirror: Vec<_> = endpoint.mirror_traffic.iter().collect();
    match mirror[..] {
        [] => Ok(()),
        [(name, &percent)] if percent <= 50 && !endpoint.traffic.contains_key(name) => Ok(()),
        _ => {
            let found: Vec<_> =
                mirror.iter().map(|(name, percent)| format!("{name}: {percent}")).collect();
            Err(AdminError::Mirror(found.join(", ")))
        }
    }
}
