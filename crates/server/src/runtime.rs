//! The deployments that run: what the state asks for, loaded in the background.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;
use medparse_wire::Fit;

use crate::store::{DeploymentRecord, Document};
use crate::{CatalogEntry, LoadError, ModelLoader, ModelSpec, Segmenter};

/// Lines of a deployment's log that are kept.
const LOG_LINES: usize = 200;

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    Loading,
    Ready,
    Failed(String),
}

pub(crate) struct Runtime {
    loader: Arc<dyn ModelLoader>,
    entries: Mutex<HashMap<Key, Entry>>,
    models: Mutex<HashMap<ModelSpec, SharedModel>>,
    /// Counts the models loaded.
    loads: AtomicU64,
}

/// The place of a model that several deployments may ask for: locked while the first of them loads it, and empty again
/// when the last of them has gone.
type SharedModel = Arc<Mutex<Option<Weak<LoadedModel>>>>;

/// A model in memory.
pub(crate) struct LoadedModel {
    /// Told apart from every other model that this process has loaded.
    pub(crate) id: u64,
    pub(crate) segmenter: Arc<dyn Segmenter>,
}

impl LoadedModel {
    /// How a picture is fitted when `asked` was asked for; never [`Fit::Model`].
    pub(crate) fn fit(&self, asked: Fit) -> Fit {
        if asked == Fit::Model { self.segmenter.card().fit } else { asked }
    }
}

/// Endpoint and deployment.
type Key = (String, String);

struct Entry {
    spec: ModelSpec,
    status: Status,
    /// The model that answers; while a changed deployment loads, the one before.
    serving: Option<Arc<LoadedModel>>,
    log: VecDeque<String>,
}

impl Runtime {
    pub(crate) fn new(loader: Arc<dyn ModelLoader>) -> Self {
        Self {
            loader,
            entries: Mutex::default(),
            models: Mutex::default(),
            loads: AtomicU64::new(0),
        }
    }

    /// Brings what runs in line with what the state asks for; loading goes on in the background.
    pub(crate) fn reconcile(self: &Arc<Self>, document: &Document) {
        let mut entries = self.lock();
        entries.retain(|(endpoint, name), _| {
            document
                .endpoints
                .get(endpoint)
                .is_some_and(|endpoint| endpoint.deployments.contains_key(name))
        });
        for (endpoint, record) in &document.endpoints {
            for (name, deployment) in &record.deployments {
                let key = (endpoint.clone(), name.clone());
                let spec = spec_of(deployment);
                match entries.get_mut(&key) {
                    Some(entry) if entry.spec == spec => continue,
                    Some(entry) => {
                        entry.spec = spec.clone();
                        entry.status = Status::Loading;
                    }
                    None => {
                        let entry = Entry {
                            spec: spec.clone(),
                            status: Status::Loading,
                            serving: None,
                            log: VecDeque::new(),
                        };
                        entries.insert(key.clone(), entry);
                    }
                }
                if let Some(entry) = entries.get_mut(&key) {
                    entry.note(&format!("loading the model {}", spec.model));
                }
                let runtime = self.clone();
                tokio::task::spawn_blocking(move || runtime.load(&key, &spec));
            }
        }
        drop(entries);
        lock(&self.models).retain(|_, place| is_wanted(place));
    }

    fn load(&self, key: &Key, spec: &ModelSpec) {
        let shared = lock(&self.models).entry(spec.clone()).or_default().clone();
        // Deployments of one model wait here for the first of them, and share what it loaded.
        let mut slot = lock(&shared);
        let loaded = match slot.as_ref().and_then(Weak::upgrade) {
            Some(model) => Ok(model),
            None => self.ask_loader(spec).map(|segmenter| {
                let id = self.loads.fetch_add(1, Ordering::Relaxed);
                Arc::new(LoadedModel { id, segmenter })
            }),
        };
        if let Ok(model) = &loaded {
            *slot = Some(Arc::downgrade(model));
        }
        drop(slot);
        let mut entries = self.lock();
        // The deployment may have been deleted or changed in the meantime.
        let Some(entry) = entries.get_mut(key).filter(|entry| entry.spec == *spec) else { return };
        match loaded {
            Ok(model) => {
                let card = model.segmenter.card();
                entry.note(&format!("the model {} is ready, in {}", card.name, card.precision));
                tracing::info!(endpoint = key.0, deployment = key.1, "deployment ready");
                entry.serving = Some(model);
                entry.status = Status::Ready;
            }
            Err(error) => {
                entry.note(&format!("the model was not loaded: {error}"));
                tracing::error!(endpoint = key.0, deployment = key.1, %error, "deployment failed");
                entry.status = Status::Failed(error.0);
            }
        }
    }

    /// A loader that panics has failed: its deployment must not seem to load for ever.
    fn ask_loader(&self, spec: &ModelSpec) -> Result<Arc<dyn Segmenter>, LoadError> {
        let loaded = catch_unwind(AssertUnwindSafe(|| self.loader.load(spec)));
        loaded.unwrap_or_else(|_| {
            Err(LoadError("loading it broke off; see what the server printed".to_owned()))
        })
    }

    /// The model that answers for a deployment.
    pub(crate) fn serving(&self, endpoint: &str, name: &str) -> Option<Arc<LoadedModel>> {
        self.lock().get(&(endpoint.to_owned(), name.to_owned()))?.serving.clone()
    }

    /// How far a deployment is; one that was not seen yet is loading.
    pub(crate) fn status(&self, endpoint: &str, name: &str) -> Status {
        let entries = self.lock();
        entries
            .get(&(endpoint.to_owned(), name.to_owned()))
            .map_or(Status::Loading, |entry| entry.status.clone())
    }

    /// The last `lines` of a deployment's log.
    pub(crate) fn log(&self, endpoint: &str, name: &str, lines: usize) -> Vec<String> {
        let entries = self.lock();
        let Some(entry) = entries.get(&(endpoint.to_owned(), name.to_owned())) else {
            return Vec::new();
        };
        entry.log.iter().skip(entry.log.len().saturating_sub(lines)).cloned().collect()
    }

    /// Adds a line to a deployment's log.
    pub(crate) fn note(&self, endpoint: &str, name: &str, line: &str) {
        if let Some(entry) = self.lock().get_mut(&(endpoint.to_owned(), name.to_owned())) {
            entry.note(line);
        }
    }

    pub(crate) fn catalog(&self) -> Vec<CatalogEntry> {
        self.loader.catalog()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        lock(&self.entries)
    }
}

impl Entry {
    fn note(&mut self, line: &str) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(format!("{:.3} {line}", Timestamp::now()));
    }
}

/// Whether somebody loads or uses the model of a place.
fn is_wanted(place: &SharedModel) -> bool {
    // Whoever loads holds a second reference to the place.
    Arc::strong_count(place) > 1
        || lock(place).as_ref().is_some_and(|model| model.strong_count() > 0)
}

fn spec_of(deployment: &DeploymentRecord) -> ModelSpec {
    ModelSpec {
        model: deployment.model.clone(),
        precision: deployment.precision.clone(),
        threads: deployment.threads,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
