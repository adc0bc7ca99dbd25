use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::auth::Issuer;
use crate::encodings::Encodings;
use crate::errors::ApiError;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::rates::Rates;
use crate::routing::Turns;
use crate::runtime::{Runtime, Status};
use crate::store::{Document, EndpointRecord, Store, StoreError};
use crate::{AdminError, ModelLoader, ServerConfig, admin};

/// What all requests share; clones are the same server.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

struct Inner {
    config: ServerConfig,
    store: Store,
    runtime: Arc<Runtime>,
    queue: Queue,
    encodings: Encodings,
    metrics: Metrics,
    rates: Rates,
    issuer: Option<Issuer>,
    turns: Turns,
    draining: AtomicBool,
}

/// Whether the server can answer `/score`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot yet, or no longer; the sentence says why.
    NotReady(String),
}

impl AppState {
    /// A server over a state folder and a source of models; loading what the state asks for begins at once, in the
    /// background.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new(
        config: ServerConfig,
        store: Store,
        loader: Arc<dyn ModelLoader>,
    ) -> Result<Self, StoreError> {
        let state = Self(Arc::new(Inner {
            queue: Queue::new(config.capacity, &config.limits),
            runtime: Arc::new(Runtime::new(loader)),
            encodings: Encodings::new(config.limits.encoding_bytes),
            metrics: Metrics::default(),
            rates: Rates::new(config.rate),
            issuer: config.issuer.clone().map(Issuer::new),
            turns: Turns::default(),
            draining: AtomicBool::new(false),
            config,
            store,
        }));
        state.runtime().reconcile(&*state.store().read()?);
        Ok(state)
    }

    /// How the server behaves.
    pub fn config(&self) -> &ServerConfig {
        &self.0.config
    }

    /// The state that survives a restart.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.0.runtime
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    pub(crate) fn encodings(&self) -> &Encodings {
        &self.0.encodings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    pub(crate) fn issuer(&self) -> Option<&Issuer> {
        self.0.issuer.as_ref()
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    /// The state as it is on the disk now. A state that cannot be read answers nobody: it might hold a revocation.
    pub(crate) fn document(&self) -> Result<Arc<Document>, ApiError> {
        self.store().read().map_err(|error| {
            tracing::error!(%error, "the state cannot be read");
            ApiError::Internal
        })
    }

    /// Changes the state and brings what runs in line with it.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let state = self.clone();
        let outcome = tokio::task::spawn_blocking(move || state.store().update(change)).await;
        let outcome = outcome.map_err(|_| ApiError::Internal)??;
        self.runtime().reconcile(&*self.document()?);
        Ok(outcome)
    }

    /// Whether the server can answer `/score`: the default endpoint exists, none of the deployments that get its
    /// traffic (all of them, where none gets any) is still loading for the first time, and at least one of them answers.
    pub fn readiness(&self) -> Readiness {
        if self.is_draining() {
            return Readiness::NotReady("the server is shutting down".to_owned());
        }
        let Ok(document) = self.store().read() else {
            return Readiness::NotReady("the state cannot be read".to_owned());
        };
        match &document.default_endpoint {
            Some(name) => match document.endpoints.get(name) {
                Some(record) => self.endpoint_readiness(name, record),
                None => Readiness::NotReady(format!("the endpoint {name} is gone")),
            },
            None => Readiness::NotReady("no endpoint has been made yet".to_owned()),
        }
    }

    fn endpoint_readiness(&self, name: &str, record: &EndpointRecord) -> Readiness {
        let live: Vec<&String> = match record.traffic.len() {
            0 => record.deployments.keys().collect(),
            _ => record.traffic.keys().collect(),
        };
        let mut reason = format!("the endpoint {name} has no deployment");
        let mut answering = false;
        for deployment in live {
            if self.runtime().serving(name, deployment).is_some() {
                answering = true;
                continue;
            }
            match self.runtime().status(name, deployment) {
                Status::Failed(error) => {
                    reason = format!("the deployment {deployment} failed: {error}")
                }
                _ => {
                    return Readiness::NotReady(format!(
                        "the deployment {deployment} is loading its model"
                    ));
                }
            }
        }
        if answering { Readiness::Ready } else { Readiness::NotReady(reason) }
    }

    /// Says from now on that the server is not ready, and asks clients to close their connections.
    pub fn start_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Follows the state for as long as the server runs: changes that other processes made, and lifetimes that end.
    pub async fn follow(self) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            let Ok(document) = self.document() else { continue };
            let now = Timestamp::now();
            if admin::delete_expired(&mut Document::clone(&document), now) {
                let expired = self.change(move |document| {
                    admin::delete_expired(document, now);
                    Ok(())
                });
                if expired.await.is_err() {
                    tracing::error!("what has expired could not be deleted");
                }
            } else {
                self.runtime().reconcile(&document);
            }
        }
    }
}
