//! From a source to a model: the file, its configuration, its class bank.

use std::path::{Path, PathBuf};

use medparse_engine::{Engine, EngineError, EngineOptions, Precision, packed_precision};
use medparse_network::{CLASS_BANK_KEY, ConfigError, LoadError, Network, NetworkConfig};
use medparse_weights::{Checkpoint, WeightsError, deterministic};

use crate::bank::ClassBank;
use crate::bank_cache::BankCache;
use crate::card::{CARD_KEY, Description, ModelCard, NETWORK_KEY, Provenance};
use crate::device::{Processor, ProcessorError};
use crate::model::Model;
use crate::preprocess::Fit;
use crate::runtime::{BurnRuntime, Runtime};
use crate::selection::Embeddings;
use crate::sources::ModelSource;
use crate::sources::hub::{self, HubError, HubOptions, HubReference, Pulled};

/// The model that comes with the program; `models/MODEL_CARD.md` says what it is.
const BUNDLED: &[u8] = include_bytes!("../../../models/medparse-small.safetensors");

/// What messages call it.
const BUNDLED_NAME: &str = "medparse-small.safetensors";

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The network's YAML; where absent, what the file carries, then a YAML beside it, then the
    /// published configuration.
    pub config: Option<PathBuf>,
    /// Side of the model's square in pixels, where the configuration is to be overruled.
    pub image_size: Option<usize>,
    /// How pictures that are not square are shown, where the model's card is to be overruled.
    pub fit: Option<Fit>,
    /// What computes.
    pub processor: Processor,
    /// How exactly the processor of this machine computes; where absent, as the file's weights are
    /// packed, or else in f32. Other processors compute in f32.
    pub precision: Option<Precision>,
    /// How to reach the hub; as the environment says where absent.
    pub hub: Option<HubOptions>,
}

/// What a load is at; told as it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LoadStep<'a> {
    /// The hub is asked, or a file of it arrives.
    Fetching(hub::Progress<'a>),
    /// The weights are read.
    Weights,
    /// The class bank is computed: sentences done, sentences in all.
    ClassBank(usize, usize),
}

/// Why a model can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file can't be read.
    #[error(transparent)]
    Weights(Box<WeightsError>),
    /// The hub did not give it.
    #[error(transparent)]
    Hub(Box<HubError>),
    /// A configuration can't be used.
    #[error("{}: {error}", path.display())]
    Config {
        /// The YAML, or the file that carries the configuration.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<ConfigError>,
    },
    /// A configuration can't be read.
    #[error("cannot read {}: {error}", path.display())]
    ReadConfig {
        /// The YAML.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// What the file says of itself is not of the form this version writes.
    #[error("{}: its metadata `{key}` can't be read: {error}", path.display())]
    Metadata {
        /// The model file.
        path: PathBuf,
        /// The metadata's key.
        key: &'static str,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The file's class bank is not one.
    #[error("{}: `{CLASS_BANK_KEY}` has shape {found:?}, expected {expected:?}", path.display())]
    ClassBank {
        /// The model file.
        path: PathBuf,
        /// The shape it should have.
        expected: [usize; 2],
        /// The shape it has.
        found: Vec<usize>,
    },
    /// The precision is none that the processor computes in.
    #[error("{processor} computes in f32 only; {precision} is for cpu")]
    Precision {
        /// What was to compute.
        processor: Processor,
        /// The precision asked for.
        precision: Precision,
    },
    /// The weights are packed for another processor.
    #[error("the model's weights are packed for cpu; {processor} needs them as they were trained")]
    Packed {
        /// What was to compute.
        processor: Processor,
    },
    /// What was to compute is not there.
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    /// The weights can't be computed with.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// The weights do not fit the configuration.
    #[error("{error}{}", hint(assumed))]
    Load {
        /// The keys at fault.
        error: Box<LoadError>,
        /// The places that were looked at, where no configuration was found and the published
        /// one was assumed.
        assumed: Vec<PathBuf>,
    },
}

impl From<WeightsError> for ModelError {
    fn from(error: WeightsError) -> Self {
        Self::Weights(error.into())
    }
}

impl From<HubError> for ModelError {
    fn from(error: HubError) -> Self {
        Self::Hub(error.into())
    }
}

fn hint(assumed: &[PathBuf]) -> String {
    if assumed.is_empty() {
        return String::new();
    }
    let places: Vec<_> = assumed.iter().map(|path| path.display().to_string()).collect();
    format!(
        ". The configuration of the published BiomedParse was assumed, since there is no {}; if \
         this is another network of the family, name its YAML with --config",
        places.join(" or ")
    )
}

/// The weights that a source names, and the YAML that came with them from the hub.
///
/// # Errors
/// When the source can't be had or is no checkpoint.
pub fn open(
    source: &ModelSource,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadStep<'_>),
) -> Result<(Checkpoint, Option<PathBuf>), ModelError> {
    Ok(match source {
        ModelSource::Bundled => (Checkpoint::embedded(BUNDLED_NAME, BUNDLED)?, None),
        ModelSource::File(path) => (Checkpoint::open(path)?, None),
        ModelSource::Hub(reference) => {
            let pulled = fetch(reference, options, progress)?;
            (Checkpoint::open(&pulled.weights)?, pulled.config)
        }
    })
}

impl Model {
    /// Loads a model, telling `progress` what it is at.
    ///
    /// # Errors
    /// When the source can't be had, is no checkpoint, or does not fit its configuration.
    pub fn load(
        source: &ModelSource,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadStep<'_>),
    ) -> Result<Self, ModelError> {
        let (checkpoint, sidecar) = open(source, options, progress)?;
        let model = Self::from_checkpoint(&checkpoint, sidecar.as_deref(), options, progress)?;
        Ok(match options.fit {
            Some(fit) => model.with_fit(fit),
            None => model,
        })
    }

    fn from_checkpoint(
        checkpoint: &Checkpoint,
        sidecar: Option<&Path>,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadStep<'_>),
    ) -> Result<Self, ModelError> {
        let Described { description, assumed } = describe(checkpoint, sidecar, options)?;
        progress(LoadStep::Weights);
        let refuse = |error: EngineError| match error {
            EngineError::Load(error) => {
                ModelError::Load { error: error.into(), assumed: assumed.clone() }
            }
            other => ModelError::Engine(other.into()),
        };
        let packed = packed_precision(checkpoint).map_err(&refuse)?;
        let runtime = match engine_options(options, packed)? {
            Some(engine) => {
                Engine::load(&description.network, checkpoint, &engine).map(Runtime::from)
            }
            None => {
                let device = options.processor.device()?;
                Network::load(&description.network, checkpoint, &device)
                    .map(|network| BurnRuntime::new(network, device).into())
                    .map_err(EngineError::from)
            }
        };
        let runtime = runtime.map_err(refuse)?;
        let stored = stored_bank(checkpoint, &description.network)?;
        Ok(Self::new(runtime, description, |runtime| {
            stored.unwrap_or_else(|| {
                let cache = BankCache::of(checkpoint, runtime.precision());
                cache.read().unwrap_or_else(|| {
                    let bank = ClassBank::compute(runtime, &mut |done, total| {
                        progress(LoadStep::ClassBank(done, total));
                    });
                    cache.write(&bank);
                    bank
                })
            })
        }))
    }
}

/// How the engine is to compute weights that may be `packed`; none where something else does.
fn engine_options(
    options: &LoadOptions,
    packed: Option<Precision>,
) -> Result<Option<EngineOptions>, ModelError> {
    let processor = options.processor;
    let precision = options.precision.or(packed).unwrap_or_default();
    if processor == Processor::Cpu {
        Ok(Some(EngineOptions { precision, ..EngineOptions::default() }))
    } else if packed.is_some() {
        Err(ModelError::Packed { processor })
    } else if precision == Precision::F32 {
        Ok(None)
    } else {
        Err(ModelError::Precision { processor, precision })
    }
}

/// Finds a hub model on this machine, or fetches it if it is not there.
fn fetch(
    reference: &HubReference,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadStep<'_>),
) -> Result<Pulled, ModelError> {
    let hub_options = match &options.hub {
        Some(options) => options.clone(),
        None => HubOptions::from_env()?,
    };
    match hub::cached(reference, &hub_options) {
        Err(HubError::NotCached { .. }) => Ok(hub::pull(reference, &hub_options, &mut |step| {
            progress(LoadStep::Fetching(step));
        })?),
        found => Ok(found?),
    }
}

/// A file's description, and where a configuration was looked for in vain.
pub struct Described {
    /// The sizes and the card.
    pub description: Description,
    /// Empty where a configuration was found.
    pub assumed: Vec<PathBuf>,
}

/// Finds the configuration and the card of a checkpoint: those named in `options` first, then
/// what the file carries, then a YAML beside it, then the published configuration.
///
/// # Errors
/// When one is there but can't be used.
pub fn describe(
    checkpoint: &Checkpoint,
    sidecar: Option<&Path>,
    options: &LoadOptions,
) -> Result<Described, ModelError> {
    let path = checkpoint.path();
    let metadata = |key| checkpoint.metadata().get(key);
    let card = match metadata(CARD_KEY) {
        Some(json) => serde_json::from_str(json).map_err(|error| ModelError::Metadata {
            path: path.into(),
            key: CARD_KEY,
            error,
        })?,
        None => {
            let stem = path.file_stem().unwrap_or_default();
            let mut card = ModelCard::unknown(stem.to_string_lossy());
            if is_deterministic(checkpoint) {
                card.weights = Provenance::Deterministic;
            }
            card
        }
    };
    let beside = places_beside(path);
    let chosen = options.config.as_deref().or(sidecar);
    let (network, from, assumed) = if let Some(yaml) = chosen {
        (read_yaml(yaml)?, yaml, Vec::new())
    } else if let Some(json) = metadata(NETWORK_KEY) {
        let network: NetworkConfig = serde_json::from_str(json)
            .map_err(|error| ModelError::Metadata { path: path.into(), key: NETWORK_KEY, error })?;
        (network, path, Vec::new())
    } else if let Some(yaml) = beside.iter().find(|place| place.is_file()) {
        (read_yaml(yaml)?, yaml.as_path(), Vec::new())
    } else {
        (NetworkConfig::biomedparse_v1(), path, beside.clone())
    };
    let network = with_image_size(network, options, from)?;
    Ok(Described { description: Description { network, card }, assumed })
}

/// Whether a small tensor holds exactly what the rule of test weights gives for its name.
fn is_deterministic(checkpoint: &Checkpoint) -> bool {
    const KEY: &str = "sem_seg_head.predictor.decoder_norm.weight";
    let Some(entry) = checkpoint.get(KEY) else { return false };
    entry.read_f32().is_ok_and(|values| values == deterministic::values(KEY, entry.shape()))
}

/// Where a checkpoint's YAML may stand: `model.pt` has `model.yaml`, `model_config.yaml`, or
/// `config.yaml`.
fn places_beside(path: &Path) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    ["{}.yaml", "{}_config.yaml", "config.yaml"]
        .map(|name| path.with_file_name(name.replace("{}", &stem)))
        .to_vec()
}

fn read_yaml(path: &Path) -> Result<NetworkConfig, ModelError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ModelError::ReadConfig { path: path.into(), error })?;
    NetworkConfig::from_yaml(&text)
        .map_err(|error| ModelError::Config { path: path.into(), error: error.into() })
}

fn with_image_size(
    mut network: NetworkConfig,
    options: &LoadOptions,
    path: &Path,
) -> Result<NetworkConfig, ModelError> {
    network.image_size = options.image_size.unwrap_or(network.image_size);
    network
        .check()
        .map_err(|error| ModelError::Config { path: path.into(), error: error.into() })?;
    Ok(network)
}

/// The class bank a file carries, if it carries one.
fn stored_bank(
    checkpoint: &Checkpoint,
    network: &NetworkConfig,
) -> Result<Option<ClassBank>, ModelError> {
    let Some(entry) = checkpoint.get(CLASS_BANK_KEY) else { return Ok(None) };
    let expected = [crate::classes::CLASS_COUNT, network.projection_width];
    if entry.shape() != expected {
        let (path, found) = (checkpoint.path().into(), entry.shape().to_vec());
        return Err(ModelError::ClassBank { path, expected, found });
    }
    Ok(ClassBank::from_rows(Embeddings::new(entry.read_f32()?, expected[1])))
}
