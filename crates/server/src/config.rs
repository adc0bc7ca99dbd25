use std::time::Duration;

use crate::auth::{IssuerConfig, SecretText};
use crate::{AuditLog, Limits, Rate};

/// How a server behaves; the defaults suit one machine.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Bounds on what clients may send.
    pub limits: Limits,
    /// When waiting ends.
    pub timeouts: Timeouts,
    /// Who may call.
    pub access: Access,
    /// How much is computed at once and how much waits.
    pub capacity: Capacity,
    /// Base of the scoring URIs that are handed out, such as `https://rack7:5001`; taken from each request's
    /// `Host` when absent.
    pub public_url: Option<String>,
    /// Primary and secondary scoring keys given from outside; they stand in for the keys of every endpoint.
    pub given_keys: Vec<SecretText>,
    /// The workspace that management calls must name.
    pub workspace: Workspace,
    /// Whether the local managed-identity source answers.
    pub identity: IdentitySource,
    /// Whose tokens are accepted beside this server's own, by endpoints of the mode `aad_token` and for management.
    pub issuer: Option<IssuerConfig>,
    /// How often each caller may ask whose key has no rate of its own.
    pub rate: Option<Rate>,
    /// Where every request is put on record.
    pub audit: Option<AuditLog>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            access: Access::Keys,
            capacity: Capacity::default(),
            public_url: None,
            given_keys: Vec::new(),
            workspace: Workspace::default(),
            identity: IdentitySource::Off,
            issuer: None,
            rate: None,
            audit: None,
        }
    }
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every route but the health checks needs a key or a token.
    Keys,
    /// Nobody is asked: for a server bound to loopback. Requests that a web page elsewhere could have caused are
    /// refused (another `Host` than this machine's, another `Origin` than this server's).
    Open,
}

/// Whether the local managed-identity source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentitySource {
    /// It does not exist.
    Off,
    /// It hands tokens to whoever shows the secret of `IDENTITY_HEADER`.
    On,
}

/// How much is computed at once and how much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Rows computed at once; 1 by default, because one row already uses every core.
    pub slots: usize,
    /// Requests that may wait beside those computed; 32 by default. Further ones get 429.
    pub waiting: usize,
    /// Pictures decoded at once.
    pub decoders: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { slots: 1, waiting: 32, decoders: cores }
    }
}

/// When waiting ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the opening of a connection, or the end of its last reply, to a whole request head; 30 s. It closes idle
    /// and dribbling connections alike.
    pub head: Duration,
    /// Between two pieces of a body; 15 s.
    pub body_stall: Duration,
    /// For a whole body; 120 s.
    pub body: Duration,
    /// While a client takes nothing of its reply; 30 s.
    pub write_stall: Duration,
    /// For one row, waiting included; 300 s. A deployment's `request_timeout_ms` goes before it.
    pub row: Duration,
    /// After the signal to stop: how long replies still say `Connection: close` before idle connections are cut; 1 s.
    pub drain: Duration,
    /// After the signal to stop: how long accepted requests may take; 300 s.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(30),
            body_stall: seconds(15),
            body: seconds(120),
            write_stall: seconds(30),
            row: seconds(300),
            drain: seconds(1),
            shutdown: seconds(300),
        }
    }
}

/// The names that Azure clients know a workspace by; `config.json` carries them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The subscription, a UUID.
    pub subscription_id: String,
    /// The resource group.
    pub resource_group: String,
    /// The workspace.
    pub name: String,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            subscription_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            resource_group: "medparse".to_owned(),
            name: "medparse".to_owned(),
        }
    }
}
