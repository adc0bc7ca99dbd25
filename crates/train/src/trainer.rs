//! The training loop, step by step.

mod finish;
mod views;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use medparse::preprocess::Normalization;
use medparse_network::{Network, NetworkConfig, ParameterGradient, expected_tensors};
use rayon::prelude::*;

use crate::begin::Beginning;
use crate::card::Measured;
use crate::config::TrainConfig;
use crate::dataset::{Cache, CacheLimits, Dataset, DatasetError, Split};
use crate::error::TrainError;
use crate::evaluate::Report;
use crate::log::{EvaluationRecord, Log, Record, StepRecord};
use crate::loss::{Draw, Terms, loss};
use crate::optimizer::Optimizer;
use crate::prompts::Vocabulary;
use crate::sampler::Sampler;
use crate::state::State;
use crate::validate::{Check, Checked, Validation, validate};

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

impl From<&StepReport> for StepRecord {
    fn from(report: &StepReport) -> Self {
        Self {
            step: report.step,
            terms: report.terms,
            learning_rate: report.learning_rate,
            gradient_norm: report.gradient_norm,
            seconds: report.times.iter().sum::<Duration>().as_secs_f64(),
        }
    }
}

/// What happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step.
    Step(&'a StepReport),
    /// An evaluation, and the picture of some of its answers.
    Evaluated(&'a Validation, &'a Path),
    /// A checkpoint was written.
    Saved(&'a Path),
    /// The finished model is measured: pictures done, pictures in all.
    Measuring(usize, usize),
    /// The run is complete and its model written, with what was measured of it on the validation
    /// pictures, if there are any.
    Finished(Option<&'a Report>),
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
        std::fs::create_dir_all(&config.output)
            .map_err(|source| TrainError::Write { path: config.output.clone(), source })?;
        let beginning = Beginning::of(&config)?;
        let network_config = beginning.network.clone();
        for prefix in &config.freeze {
            let mut keys = expected_tensors(&network_config).into_iter();
            if !keys.any(|tensor| tensor.key.starts_with(prefix.as_str())) {
                return Err(TrainError::Freeze { prefix: prefix.clone() });
            }
        }
        let split = Split::new(&dataset, config.checks.validation_fraction, config.seed);
        let sampler = Sampler::new(&dataset, &split, &config.sets, config.seed);
        if sampler.epoch_length() == 0 {
            return Err(DatasetError::Empty { path: config.data.clone() }.into());
        }
        let per_step = (config.batch_size * config.accumulate) as f64;
        let total_steps = (config.epochs * sampler.epoch_length() as f64 / per_step).ceil() as u64;
        let device = config.device.device()?.autodiff();
        let mut optimizer = Optimizer::new(&config.optimizer, &network_config, total_steps);
        let state_path = config.output.join(STATE_FILE);
        let (network, step) = if state_path.exists() {
            let state = State::load(&state_path, &network_config, &device)?;
            optimizer.restore(state.moments);
            (state.network, state.step)
        } else {
            (beginning.weights(config.seed, &device)?, 0)
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

    /// The network with averaged weights, on a device without gradients.
    fn averaged_network(&self) -> Network {
        self.optimizer.averaged(self.current().valid())
    }

    fn current(&self) -> &Network {
        self.network.as_ref().expect("a step puts the network back")
    }

    /// Makes one step.
    ///
    /// # Errors
    /// When a picture can't be read, or the loss is no number any more.
    fn step(&mut self) -> Result<StepReport, TrainError> {
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
            let draw = Draw { seed: self.config.seed, step: micro_step, spread: self.spread() };
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

    /// What is left of [`crate::config::LossConfig::spread`] at this step.
    fn spread(&self) -> f64 {
        let usual = if self.config.from.is_some() { 0.0 } else { 5.0 };
        let left = (1.0 - 2.0 * self.step as f64 / self.total_steps as f64).max(0.0);
        self.config.loss.spread.unwrap_or(usual) * left
    }

    fn normalization(&self) -> Normalization {
        Normalization { mean: self.network_config.pixel_mean, std: self.network_config.pixel_std }
    }

    /// Measures the averaged network on the validation pictures, on the network's own square.
    fn check(&self) -> Result<Checked, TrainError> {
        let most = self.config.checks.validation_pictures;
        let labelled: Vec<usize> = self
            .split
            .validation
            .iter()
            .copied()
            .filter(|&index| !self.dataset.samples[index].targets.is_empty())
            .collect();
        let check = Check {
            network: &self.averaged_network(),
            config: &self.network_config,
            device: &self.device.clone().inner(),
            dataset: &self.dataset,
            pictures: &self.dataset.spread(&labelled, most),
        };
        Ok(validate(&check)?)
    }

    /// Writes a checkpoint and the averaged model to the output folder.
    ///
    /// # Errors
    /// When a file can't be written.
    fn save(&self) -> Result<PathBuf, TrainError> {
        let path = self.config.output.join(STATE_FILE);
        // A clone shares the weights' memory.
        let state = State {
            network: self.current().clone(),
            moments: self.optimizer.moments().clone(),
            step: self.step,
        };
        state.save(&path, &self.network_config)?;
        self.write_model(Measured::default(), None)?;
        Ok(path)
    }

    /// Steps until the end of the run or until `listener` says stop; saves, evaluates and logs on
    /// the way, and at the end measures the model and writes it as it is to be used. Of a run that
    /// is complete already only the last is done again.
    ///
    /// # Errors
    /// When a picture can't be read, the loss is no number any more, a file can't be written, or the finished
    /// model can't be measured.
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
                let Checked { validation, examples } = self.check()?;
                let record = EvaluationRecord { step: self.step, validation: &validation };
                self.write(&mut log, &Record::Evaluation(record))?;
                let picture = self.draw(&examples)?;
                if listener(Event::Evaluated(&validation, &picture)) == Control::Stop {
                    control = Control::Stop;
                }
            }
            let due = self.step.is_multiple_of(self.config.checks.save_every);
            if last || due || control == Control::Stop {
                let path = self.save()?;
                listener(Event::Saved(&path));
            }
            if control == Control::Stop {
                return Ok(());
            }
        }
        let report = self.finish(listener)?;
        listener(Event::Finished(report.as_ref()));
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
/// A picture of answers for each evaluation.
pub const PICTURE_FOLDER: &str = "predictions";

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
