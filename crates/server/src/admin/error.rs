use axum::http::StatusCode;
use thiserror::Error;

use crate::StoreError;
use crate::store::AuthMode;

/// Why a change of the state is refused.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No endpoint of that name.
    #[error("there is no endpoint named {0:?}")]
    NoEndpoint(String),
    /// No deployment of that name.
    #[error("the endpoint {endpoint:?} has no deployment named {name:?}")]
    NoDeployment {
        /// The endpoint.
        endpoint: String,
        /// The deployment asked for.
        name: String,
    },
    /// No key of that id.
    #[error("there is no key with the id {0:?}")]
    NoKey(String),
    /// A name that cannot be used.
    #[error(
        "{0:?} is not a name: expected 1 to 63 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit"
    )]
    Name(String),
    /// The percentages do not add up.
    #[error("the traffic percentages add up to {0}; expected 100, or 0 for no traffic")]
    TrafficSum(u32),
    /// Traffic for a deployment that is not there.
    #[error("traffic is given to {0:?}, which is not a deployment of the endpoint")]
    TrafficUnknown(String),
    /// More mirrored traffic than allowed.
    #[error(
        "mirrored traffic goes to one deployment without live traffic and is at most 50 percent; found {0}"
    )]
    Mirror(String),
    /// A deployment that still gets traffic.
    #[error(
        "the deployment {name:?} gets {percent} percent of the traffic; set it to 0 before deleting the deployment"
    )]
    InTraffic {
        /// The deployment.
        name: String,
        /// Its share.
        percent: u8,
    },
    /// An unknown authentication mode.
    #[error("{0:?} is not an authentication mode; expected key, aml_token or aad_token")]
    AuthMode(String),
    /// An unknown precision.
    #[error("{0:?} is not a precision; expected f32, bf16 or int8")]
    Precision(String),
    /// A value that is not a whole number above zero.
    #[error("{what} must be a whole number above zero; found {found:?}")]
    Number {
        /// What the number is for.
        what: &'static str,
        /// The text found.
        found: String,
    },
    /// A deployment without a model.
    #[error(
        "the deployment names no model; set it to a name of the catalog, a path, or hub:owner/name"
    )]
    NoModel,
    /// A lifetime that cannot be read or is not in the future.
    #[error("{0:?} is not a lifetime; expected a duration above zero such as 168h, 90d or PT30M")]
    Lifetime(String),
    /// A key without a scope.
    #[error("a key needs at least one scope: score, manage or metrics")]
    NoScope,
    /// The endpoint's keys come from outside.
    #[error("the keys of this server are given by MEDPARSE_KEYS and are rotated there")]
    KeysGiven,
    /// Regenerating a key of an endpoint that has none.
    #[error("the endpoint {name:?} has no keys: its auth_mode is {mode}")]
    NotKeyed {
        /// The endpoint.
        name: String,
        /// Its mode.
        mode: AuthMode,
    },
}

impl AdminError {
    pub(crate) fn answer(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Store(_) => (S::INTERNAL_SERVER_ERROR, "StateUnavailable"),
            Self::NoEndpoint(_) => (S::NOT_FOUND, "EndpointNotFound"),
            Self::NoDeployment { .. } => (S::NOT_FOUND, "DeploymentNotFound"),
            Self::NoKey(_) => (S::NOT_FOUND, "KeyNotFound"),
            Self::InTraffic { .. } => (S::CONFLICT, "DeploymentInTraffic"),
            Self::KeysGiven | Self::NotKeyed { .. } => (S::CONFLICT, "NoManagedKeys"),
            Self::Name(_) => (S::BAD_REQUEST, "InvalidName"),
            Self::TrafficSum(_) | Self::TrafficUnknown(_) | Self::Mirror(_) => {
                (S::BAD_REQUEST, "InvalidTraffic")
            }
            Self::AuthMode(_) => (S::BAD_REQUEST, "InvalidAuthMode"),
            Self::Precision(_) | Self::Number { .. } | Self::NoModel => {
                (S::BAD_REQUEST, "InvalidDeployment")
            }
            Self::Lifetime(_) => (S::BAD_REQUEST, "InvalidLifetime"),
            Self::NoScope => (S::BAD_REQUEST, "InvalidScope"),
        }
    }
}
