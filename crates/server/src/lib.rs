//! The online endpoint of MedImageParse on one's own machine: what Azure's clients call, they can call here.
//!
//! [`app`] turns an [`AppState`] into an axum router, which tests ask without a socket; [`Server`] serves it with
//! time-outs, TLS and a graceful end. The server knows a model only as a [`Segmenter`] and where models come from only
//! as a [`ModelLoader`]; it parses no command line.
//!
//! # A request on its way
//! ids → keys of the issuer → log and audit line → audit log writable → rate of the caller → compression → guard of
//! key-less servers → encoding of the body → route → key or token → deployment by header or traffic → body (size, time,
//! memory) → place in the queue or 429 → JSON, base64, picture (4xx names row and column) → slot and
//! deadline → model → masks at one bit a pixel → streamed reply.

pub mod admin;
mod app;
mod audit;
mod auth;
pub mod azure;
mod base;
mod body;
mod config;
mod connection;
mod encodings;
mod errors;
mod export;
mod health;
mod hex;
mod ids;
mod limits;
mod linger;
mod logging;
mod manage;
mod manifest;
mod metrics;
mod mlflow;
mod monai;
mod openapi;
mod packed;
mod page;
mod prepare;
mod queue;
mod rates;
mod reply;
mod routing;
mod rows;
mod runtime;
mod sample;
mod scan;
mod score;
mod scoring;
mod segment;
mod segmenter;
mod serve;
mod state;
pub mod store;
mod telemetry;
mod tls;
mod v2;
mod view;
mod volume;

pub use admin::AdminError;
pub use app::app;
pub use audit::{AuditError, AuditLog};
pub use auth::{IssuerConfig, IssuerError, Refresh, SecretText};
pub use config::{Access, Capacity, IdentitySource, ServerConfig, Timeouts, Workspace};
pub use limits::Limits;
pub use logging::{LogFormat, init_log};
pub use manifest::{Manifest, ManifestError};
pub use rates::{Rate, RateError};
pub use sample::{SAMPLE_REQUEST, curl_line};
pub use segmenter::{
    Answer, CancelToken, CatalogEntry, EncodedPicture, LoadError, ModelCard, ModelLoader,
    ModelSpec, Probabilities, PromptWarning, Question, SegmentError, Segmenter, TargetGroup,
};
pub use serve::{ServeError, Server};
pub use state::{AppState, Readiness};
pub use store::{Store, StoreError};
pub use tls::{Certificates, TlsError, TlsFiles};
