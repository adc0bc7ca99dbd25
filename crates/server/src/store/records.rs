use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Rate;
use crate::hex::hex;

/// The whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// Format of the file.
    pub format: u32,
    /// Counts the changes.
    pub revision: u64,
    /// The endpoint that `/score` serves.
    pub default_endpoint: Option<String>,
    /// The endpoints by name.
    pub endpoints: BTreeMap<String, EndpointRecord>,
    /// Keys that were granted, beside the two that every endpoint has.
    pub keys: Vec<KeyRecord>,
}

impl Document {
    /// The format that this program writes.
    pub const FORMAT: u32 = 1;
}

impl Default for Document {
    fn default() -> Self {
        Self {
            format: Self::FORMAT,
            revision: 0,
            default_endpoint: None,
            endpoints: BTreeMap::new(),
            keys: Vec::new(),
        }
    }
}

/// How callers of an endpoint show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Keys, which do not expire by themselves.
    #[default]
    Key,
    /// Tokens that the endpoint hands out to managers and that expire.
    AmlToken,
    /// Tokens of the local managed-identity source or of the issuer outside, which expire.
    AadToken,
}

impl AuthMode {
    /// The name in the management API: `Key`, `AMLToken`, `AADToken`.
    pub fn rest_name(self) -> &'static str {
        match self {
            Self::Key => "Key",
            Self::AmlToken => "AMLToken",
            Self::AadToken => "AADToken",
        }
    }

    /// The mode of a name in any of the spellings that clients use (`Key`, `aml_token`, `AMLToken`, …).
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().replace('_', "").as_str() {
            "key" => Some(Self::Key),
            "amltoken" => Some(Self::AmlToken),
            "aadtoken" => Some(Self::AadToken),
            _ => None,
        }
    }
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::AmlToken => "aml_token",
            Self::AadToken => "aad_token",
        })
    }
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// How callers show who they are.
    pub auth_mode: AuthMode,
    /// Random; keys and tokens of an endpoint die with it, even when its name is used again.
    pub nonce: String,
    /// How often the primary and the secondary key have been regenerated.
    pub key_generations: [u32; 2],
    /// Percentages of the requests, by deployment; together 0 or 100.
    pub traffic: BTreeMap<String, u8>,
    /// Percentage of the requests that one further deployment gets a copy of.
    pub mirror_traffic: BTreeMap<String, u8>,
    /// The deployments by name.
    pub deployments: BTreeMap<String, DeploymentRecord>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// What else clients have set and want to see again.
    pub extra: Extra,
}

/// What clients set and want to see again, and the server does not act on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Extra {
    /// Tags.
    #[serde(default)]
    pub tags: Map<String, Value>,
    /// The `properties` object of the management API as it was sent.
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// Further top-level members of the resource: `identity`, `kind`, `sku`.
    #[serde(default)]
    pub members: Map<String, Value>,
}

/// A deployment: a model behind an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// The model: a name of the catalog, a path, or `hub:owner/name`.
    pub model: String,
    /// `f32`, `bf16` or `int8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Threads of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// What one request may take.
    #[serde(default)]
    pub request_settings: RequestSettings,
    /// When it is deleted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// What else clients have set and want to see again.
    pub extra: Extra,
}

/// What one request to a deployment may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestSettings {
    /// Milliseconds for one row, waiting included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Asking a deployment.
    Score,
    /// Changing endpoints, deployments and keys.
    Manage,
    /// Reading `/metrics`.
    Metrics,
}

impl Scope {
    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "score" => Some(Self::Score),
            "manage" => Some(Self::Manage),
            "metrics" => Some(Self::Metrics),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Score => "score",
            Self::Manage => "manage",
            Self::Metrics => "metrics",
        })
    }
}

/// A key that was granted: its hash and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Public id, by which it is listed, revoked and rotated.
    pub id: String,
    /// Hash of the key.
    pub hash: KeyHash,
    /// The key before the last rotation, while it is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<RetiredKey>,
    /// What it is good for.
    pub scopes: BTreeSet<Scope>,
    /// The only endpoint it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The only deployment it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// How often it may be used, instead of the server's own rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The operator's note on whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was granted.
    pub created: Timestamp,
    /// When it stops being valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A key that a rotation has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredKey {
    /// Hash of the key.
    pub hash: KeyHash,
    /// When it stops being valid.
    pub until: Timestamp,
}

/// SHA-256 of a key.
///
/// A slow password hash would add nothing: the keys are 256 random bits, which no search can reach, and a slow hash
/// on every request would be a way to keep the server busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub(crate) [u8; 32]);

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(serde::de::Error::custom("a key hash has 64 hexadecimal digits"));
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16)
                .map_err(serde::de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}
