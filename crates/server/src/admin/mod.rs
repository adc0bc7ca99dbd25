//! Changes of the state: what the management API, the page and the command line all do, in one place.

mod deployments;
mod endpoints;
mod error;
mod keys;
mod lifetime;

pub use crate::auth::KeySlot;
pub use deployments::{DeploymentSpec, delete_deployment, delete_expired, put_deployment};
pub use endpoints::{EndpointSpec, delete_endpoint, put_endpoint};
pub use error::AdminError;
pub use keys::{KeyGrant, endpoint_keys, grant_key, regenerate_key, revoke_key, rotate_key};
pub use lifetime::parse_lifetime;

use crate::store::{DeploymentRecord, Document, EndpointRecord};

/// Whether something was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there and has been changed.
    Updated,
}

/// The endpoint of that name, or [`AdminError::NoEndpoint`].
pub(crate) fn find_endpoint<'a>(
    document: &'a Document,
    name: &str,
) -> Result<&'a EndpointRecord, AdminError> {
    document.endpoints.get(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))
}

/// The deployment of that name, or [`AdminError::NoDeployment`]; `record` is the endpoint named `endpoint`.
pub(crate) fn find_deployment<'a>(
    record: &'a EndpointRecord,
    endpoint: &str,
    name: &str,
) -> Result<&'a DeploymentRecord, AdminError> {
    record.deployments.get(name).ok_or_else(|| AdminError::NoDeployment {
        endpoint: endpoint.to_owned(),
        name: name.to_owned(),
    })
}

/// As [`find_endpoint`], to change it.
fn endpoint_mut<'a>(
    document: &'a mut Document,
    name: &str,
) -> Result<&'a mut EndpointRecord, AdminError> {
    document.endpoints.get_mut(name).ok_or_else(|| AdminError::NoEndpoint(name.to_owned()))
}

fn check_name(name: &str) -> Result<(), AdminError> {
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits { Ok(()) } else { Err(AdminError::Name(name.chars().take(80).collect())) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::auth::hash_key;
    use crate::store::Scope;

    fn shares(parts: &[(&str, u8)]) -> BTreeMap<String, u8> {
        parts.iter().map(|&(name, percent)| (name.to_owned(), percent)).collect()
    }

    fn two_deployments() -> Document {
        let mut document = Document::default();
        put_endpoint(&mut document, "e", EndpointSpec::default()).unwrap();
        for name in ["blue", "green"] {
            let spec = DeploymentSpec { model: "bundled".into(), ..Default::default() };
            assert_eq!(put_deployment(&mut document, "e", name, spec).unwrap(), Put::Created);
        }
        document
    }

    #[test]
    fn traffic_must_add_up_and_go_to_deployments() {
        let mut document = two_deployments();
        let mut set = |traffic: &[(&str, u8)], mirror: &[(&str, u8)]| {
            let spec = EndpointSpec {
                traffic: Some(shares(traffic)),
                mirror_traffic: Some(shares(mirror)),
                ..Default::default()
            };
            put_endpoint(&mut document, "e", spec).map_err(|error| error.to_string())
        };
        assert!(set(&[("blue", 90), ("green", 10)], &[]).is_ok());
        assert!(set(&[("blue", 100), ("green", 0)], &[("green", 50)]).is_ok());
        assert!(set(&[], &[]).is_ok());
        for (traffic, mirror, sentence) in [
            (
                &[("blue", 90)][..],
                &[][..],
                "the traffic percentages add up to 90; expected 100, or 0 for no traffic",
            ),
            (
                &[("red", 100)],
                &[],
                "traffic is given to \"red\", which is not a deployment of the endpoint",
            ),
            (
                &[("blue", 100)],
                &[("blue", 10)],
                "mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found blue: 10",
            ),
            (
                &[("blue", 100)],
                &[("green", 60)],
                "mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found green: 60",
            ),
        ] {
            assert_eq!(set(traffic, mirror).unwrap_err(), sentence);
        }
    }

    #[test]
    fn a_deployment_in_traffic_stays_until_its_time_is_over() {
        let mut document = two_deployments();
        let spec = EndpointSpec {
            traffic: Some(shares(&[("blue", 70), ("green", 30)])),
            ..Default::default()
        };
        put_endpoint(&mut document, "e", spec).unwrap();
        assert!(matches!(
            delete_deployment(&mut document, "e", "blue"),
            Err(AdminError::InTraffic { percent: 70, .. })
        ));
        let now = Timestamp::now();
        document.endpoints.get_mut("e").unwrap().deployments.get_mut("blue").unwrap().expires =
            Some(now);
        assert!(delete_expired(&mut document, now));
        assert_eq!(document.endpoints["e"].traffic, shares(&[("green", 100)]));
        assert!(!delete_expired(&mut document, now));
    }

    #[test]
    fn lifetimes_are_read_in_the_usual_spellings() {
        for (text, hours) in
            [("168h", 168), ("90d", 90 * 24), ("PT2H", 2), ("1w", 168), ("P1D", 24)]
        {
            assert_eq!(parse_lifetime(text).unwrap(), SignedDuration::from_hours(hours), "{text}");
        }
        for text in ["", "soon", "-1h", "0s", "12"] {
            assert!(parse_lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_plain() {
        let mut document = Document::default();
        for name in ["", "-a", "a/b", "a b", "../x", "ä", &"a".repeat(64)] {
            assert!(matches!(
                put_endpoint(&mut document, name, EndpointSpec::default()),
                Err(AdminError::Name(_))
            ));
        }
    }

    #[test]
    fn a_rotated_key_has_its_grace() {
        let mut document = two_deployments();
        let grant = KeyGrant {
            scopes: [Scope::Score].into(),
            deployment: Some("blue".into()),
            ..Default::default()
        };
        let (record, key) = grant_key(&mut document, grant).unwrap();
        assert_eq!(record.endpoint.as_deref(), Some("e"));
        let next = rotate_key(&mut document, &record.id, SignedDuration::from_hours(1)).unwrap();
        let stored = &document.keys[0];
        assert!(stored.hash.matches(&hash_key(next.expose())));
        assert!(stored.retired.as_ref().unwrap().hash.matches(&hash_key(key.expose())));
        rotate_key(&mut document, &record.id, SignedDuration::ZERO).unwrap();
        assert_eq!(document.keys[0].retired, None);
        revoke_key(&mut document, &record.id).unwrap();
        assert!(matches!(revoke_key(&mut document, &record.id), Err(AdminError::NoKey(_))));
    }
}
