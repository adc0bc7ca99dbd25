//! The training loop, step by step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use medparse::preprocess::Normalization;
use medparse_network::{LoadError, Network, NetworkConfig, ParameterGradient};
use medparse_weights::{Checkpoint, WeightsError};
use rand::RngExt;
use rayon::prelude::*;

use crate::augment::{Augmented, Pose, augment};
use crate::batch::Batch;
use crate::config::{Orientation, SetConfig, TrainConfig, TrainConfigError};
use crate::dataset::{Cache, CacheLimits, Dataset, DatasetError, Prepared, Split};
use crate::init;
use crate::log::{EvaluationRecord, Log, Record, StepRecord};
use crate::loss::{Draw, Terms, loss};
use crate::ontology::is_sided;
use crate::optimizer::Optimizer;
use crate::prompts::{Prompt, Vocabulary};
use crate::random::{Purpose, stream};
use crate::sampler::Sampler;
use crate::state::{NETWORK_KEY, State, StateError, write_model};
use crate::validate::{Validation, validate};

/// Pixels of a target that must be in view for it to count as present.
const VISIBLE_PIXELS: f32 = 12.0;

/// Sentences for the classes of the bank, one of which is drawn each step (SPEC: the bank is the
/// mean over 81 such templates).
const CLASS_TEMPLATES: [&str; 8] = [
    "{}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a bright photo of the {}.",
    "a photo of one {}.",
    "a rendering of a {}.",
];

/// Why a run can't begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The description of the run.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// The network's sizes.
    #[error(transparent)]
    Network(#[from] medparse_network::ConfigError),
    /// The dataset or one of its files.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights to start from.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file of the weights to start from.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A checkpoint.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file of the output folder.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sizes in the metadata of the weights to start from.
    #[error("{path} has sizes in its metadata that can't be read: {reason}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The loss became infinite or no number.
    #[error("the loss of step {step} is {loss}; a lower learning rate or gradient_clip may help")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
    },
}

/// A run, between two steps.
pub struct Trainer {
    config: TrainConfig,
    network_config: NetworkConfig,
    dataset: Dataset,
    split: Split,
    sampler: Sampler,
    vocabulary: Vocabulary,
    cache: Cache,
    device: Device,
    /// None only while a step replaces it.
    network: Option<Network>,
    optimizer: Optimizer,
    step: u64,
    total_steps: u64,
}

/// What a step did, and how long its parts took.
#[derive(Debug, Clone, Copy)]
pub struct StepReport {
    /// The step, 0-based.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The losses, averaged over the accumulated batches.
    pub terms: Terms,
    /// The learning rate.
    pub learning_rate: f64,
    /// The gradient's length before clipping.
    pub gradient_norm: f64,
    /// Time for pictures, forward, backward, and the optimiser.
    pub times: [Duration; 4],
}

/// What happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step.
    Step(&'a StepReport),
    /// An evaluation.
    Evaluated(&'a Validation),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// On to the next step.
    Continue,
    /// Write a checkpoint and stop.
    Stop,
}

impl Trainer {
    /// Begins a run, or goes on with the one whose checkpoint is in the output folder.
    ///
    /// # Errors
    /// When the description, the dataset, the weights or the checkpoint can't be used.
    pub fn new(config: TrainConfig) -> Result<Self, TrainError> {
        config.check()?;
        let dataset = Dataset::open(&config.data)?;
        Self::with_dataset(config, dataset)
    }

    /// As [`Trainer::new`], with a dataset that is already listed.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_dataset(config: TrainConfig, dataset: Dataset) -> Result<Self, TrainError> {
        config.check()?;
        std::fs::create_dir_all(&config.output)
            .map_err(|source| TrainError::Write { path: config.output.clone(), source })?;
        let (network_config, begin) = begin(&config)?;
        let split = Split::new(&dataset, config.checks.validation_fraction, config.seed);
        let sampler = Sampler::new(&dataset, &split, &config.sets, config.seed);
        if sampler.epoch_length() == 0 {
            return Err(DatasetError::Empty { path: config.data.clone() }.into());
        }
        let per_step = (config.batch_size * config.accumulate) as f64;
        let total_steps = (config.epochs * sampler.epoch_length() as f64 / per_step).ceil() as u64;
        let device = Device::flex().autodiff();
        let mut optimizer = Optimizer::new(&config.optimizer, &network_config, total_steps);
        let state_path = config.output.join(STATE_FILE);
        let (network, step) = if state_path.exists() {
            let state = State::load(&state_path, &network_config, &device)?;
            optimizer.restore(state.moments);
            (state.network, state.step)
        } else {
            (begin.network(&network_config, config.seed, &device)?, 0)
        };
        let network = network
            .frozen(|key| config.freeze.iter().any(|prefix| key.starts_with(prefix.as_str())));
        let limits = CacheLimits {
            longest_side: network_config.image_size * 3 / 2,
            bytes: config.checks.cache_megabytes << 20,
        };
        Ok(Self {
            vocabulary: Vocabulary::new(&dataset, &config.sets),
            cache: Cache::new(&dataset, limits),
            network: Some(network),
            network_config,
            dataset,
            split,
            sampler,
            device,
            optimizer,
            step,
            total_steps,
            config,
        })
    }

    /// The step that comes next, 0-based.
    pub fn next_step(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// The network's sizes.
    pub fn network_config(&self) -> &NetworkConfig {
        &self.network_config
    }

    /// The network as it is, on a device without gradients.
    pub fn network(&self) -> Network {
        self.current().valid()
    }

    /// The network with averaged weights, on a device without gradients.
    pub fn averaged_network(&self) -> Network {
        self.optimizer.averaged(self.current().valid())
    }

    fn current(&self) -> &Network {
        self.network.as_ref().expect("a step puts the network back")
    }

    /// Makes one step.
    ///
    /// # Errors
    /// When a picture can't be read, or the loss is no number any more.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let mut sums = Vec::new();
        let mut gradients: Vec<ParameterGradient> = Vec::new();
        let mut times = [Duration::ZERO; 4];
        let accumulate = self.config.accumulate;
        for part in 0..accumulate as u64 {
            let begun = Instant::now();
            let micro_step = self.step * accumulate as u64 + part;
            let batch = self.batch(micro_step)?;
            times[0] += begun.elapsed();
            let begun = Instant::now();
            let draw = Draw { seed: self.config.seed, step: micro_step };
            let loss = loss(self.current(), &batch, &self.config.loss, draw, &self.device);
            if !loss.terms.total.is_finite() {
                return Err(TrainError::Diverged { step: self.step, loss: loss.terms.total });
            }
            times[1] += begun.elapsed();
            let begun = Instant::now();
            let mut found = loss.total.backward();
            accumulate_into(&mut gradients, self.current().take_gradients(&mut found), accumulate);
            times[2] += begun.elapsed();
            sums.push(loss.terms);
        }
        let begun = Instant::now();
        let network = self.network.take().expect("a step puts the network back");
        let (network, summary) = self.optimizer.step(network, gradients, self.step);
        self.network = Some(network);
        times[3] = begun.elapsed();
        let report = StepReport {
            step: self.step,
            total_steps: self.total_steps,
            terms: Terms::mean(&sums),
            learning_rate: summary.learning_rate,
            gradient_norm: summary.gradient_norm,
            times,
        };
        self.step += 1;
        Ok(report)
    }

    /// The pictures and prompts of a batch; they follow from the seed and its number alone.
    fn batch(&self, micro_step: u64) -> Result<Batch, TrainError> {
        let first = micro_step * self.config.batch_size as u64;
        let slots: Vec<u64> = (0..self.config.batch_size as u64).collect();
        let views: Result<Vec<(Augmented, Vec<Prompt>)>, DatasetError> = slots
            .into_par_iter()
            .map(|slot| self.view(self.sampler.picture(first + slot), first + slot))
            .collect();
        let mut random = stream(self.config.seed, Purpose::Sample, &[u64::MAX, micro_step]);
        let template = CLASS_TEMPLATES[random.random_range(0..CLASS_TEMPLATES.len())];
        let mut batch = Batch::new(self.network_config.image_size, template);
        for (view, prompts) in views? {
            let asked = prompts.into_iter().map(|prompt| {
                let mask = prompt.target.map_or(Vec::new(), |target| view.masks[target].clone());
                (prompt, mask)
            });
            batch.push(&view.planes, asked);
        }
        Ok(batch)
    }

    /// One picture as it comes at `position` of the endless order, and what is asked of it.
    fn view(&self, index: usize, position: u64) -> Result<(Augmented, Vec<Prompt>), DatasetError> {
        let sample = &self.dataset.samples[index];
        let prepared: Arc<Prepared> = self.cache.get(&self.dataset, index)?;
        let default = SetConfig::default();
        let set = self.config.sets.get(&sample.set).unwrap_or(&default);
        let is_sided = sample.targets.iter().any(|target| is_sided(&target.name));
        let pose = Pose {
            orientation: if is_sided { Orientation::Upright } else { set.orientation },
            side: self.network_config.image_size,
        };
        let mut random = stream(self.config.seed, Purpose::Sample, &[position]);
        let normalization = self.normalization();
        let view = augment(&prepared, pose, &self.config.augmentation, &normalization, &mut random);
        let visible: Vec<usize> = view
            .masks
            .iter()
            .enumerate()
            .filter(|(_, mask)| mask.iter().sum::<f32>() >= VISIBLE_PIXELS)
            .map(|(target, _)| target)
            .collect();
        let prompts = self.vocabulary.draw(sample, &visible, &self.config.prompts, &mut random);
        Ok((view, prompts))
    }

    fn normalization(&self) -> Normalization {
        Normalization { mean: self.network_config.pixel_mean, std: self.network_config.pixel_std }
    }

    /// Measures the averaged network on the validation pictures.
    ///
    /// # Errors
    /// When a picture can't be read.
    pub fn evaluate(&self) -> Result<Validation, TrainError> {
        let network = self.averaged_network();
        let pictures = self.config.checks.validation_pictures;
        Ok(validate(&network, &self.network_config, &self.dataset, &self.split, pictures)?)
    }

    /// Writes a checkpoint and the averaged model to the output folder.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(&self) -> Result<PathBuf, TrainError> {
        let path = self.config.output.join(STATE_FILE);
        // A clone shares the weights' memory.
        let state = State {
            network: self.current().clone(),
            moments: self.optimizer.moments().clone(),
            step: self.step,
        };
        state.save(&path, &self.network_config)?;
        let model = self.config.output.join(MODEL_FILE);
        write_model(&model, &self.averaged_network(), &self.network_config, &Default::default())?;
        Ok(path)
    }

    /// Steps until the end of the run or until `listener` says stop; saves, evaluates and logs on
    /// the way.
    ///
    /// # Errors
    /// Those of [`Trainer::step`], [`Trainer::evaluate`] and [`Trainer::save`].
    pub fn run(
        &mut self,
        listener: &mut dyn FnMut(Event<'_>) -> Control,
    ) -> Result<(), TrainError> {
        let mut log = Log::open(&self.config.output.join(LOG_FILE), self.step)
            .map_err(|(path, source)| TrainError::Write { path, source })?;
        while self.step < self.total_steps {
            let report = self.step()?;
            self.write(&mut log, &Record::Step(StepRecord::from(&report)))?;
            let mut control = listener(Event::Step(&report));
            let last = self.step == self.total_steps;
            if last || self.step.is_multiple_of(self.config.checks.evaluate_every) {
                let validation = self.evaluate()?;
                let record = EvaluationRecord { step: self.step, validation: &validation };
                self.write(&mut log, &Record::Evaluation(record))?;
                if listener(Event::Evaluated(&validation)) == Control::Stop {
                    control = Control::Stop;
                }
            }
            let due = self.step.is_multiple_of(self.config.checks.save_every);
            if last || due || control == Control::Stop {
                let path = self.save()?;
                listener(Event::Saved(&path));
            }
            if control == Control::Stop {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, log: &mut Log, record: &Record<'_>) -> Result<(), TrainError> {
        log.write(record).map_err(|(path, source)| TrainError::Write { path, source })
    }
}

/// The run as it stands, to go on from.
pub const STATE_FILE: &str = "state.safetensors";
/// The averaged model, to use.
pub const MODEL_FILE: &str = "model.safetensors";
/// One line of JSON for each step and evaluation.
pub const LOG_FILE: &str = "log.jsonl";

/// Where a run's first weights come from.
enum Begin {
    Fresh,
    From(Box<Checkpoint>),
}

impl Begin {
    fn network(
        &self,
        config: &NetworkConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Network, TrainError> {
        Ok(match self {
            Self::Fresh => init::fresh(config, seed, device),
            Self::From(checkpoint) => Network::load(config, checkpoint, device)?,
        })
    }
}

/// The network's sizes and where its first weights come from.
fn begin(config: &TrainConfig) -> Result<(NetworkConfig, Begin), TrainError> {
    let (mut network, begin) = match &config.from {
        None => (config.network.config(), Begin::Fresh),
        Some(path) => {
            let checkpoint = Checkpoint::open(path)?;
            let network = match checkpoint.metadata().get(NETWORK_KEY) {
                Some(json) => serde_json::from_str(json).map_err(|error| TrainError::Metadata {
                    path: path.clone(),
                    reason: error.to_string(),
                })?,
                None => config.network.config(),
            };
            (network, Begin::From(Box::new(checkpoint)))
        }
    };
    if let Some(side) = config.image_size {
        network.image_size = side;
    }
    network.check()?;
    Ok((network, begin))
}

/// Adds a batch's share of the gradients.
fn accumulate_into(
    sums: &mut Vec<ParameterGradient>,
    found: Vec<ParameterGradient>,
    batches: usize,
) {
    if batches == 1 {
        *sums = found;
        return;
    }
    let share = 1.0 / batches as f32;
    for gradient in found {
        match sums.iter_mut().find(|sum| sum.key == gradient.key) {
            Some(sum) => {
                let pairs = sum.values.par_iter_mut().zip(&gradient.values);
                pairs.for_each(|(sum, value)| *sum += value * share);
            }
            None => {
                let mut gradient = gradient;
                gradient.values.par_iter_mut().for_each(|value| *value *= share);
                sums.push(gradient);
            }
        }
    }
}
