//! The flags of every verb that loads a model.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use medparse::card::Description;
use medparse::device::Processor;
use medparse::load::describe;
use medparse::preprocess::Fit;
use medparse::{LoadOptions, Model, ModelSource, Precision, Provenance};
use medparse_weights::Checkpoint;

use crate::output::complain;
use crate::progress::Loading;

/// Which model, and what computes it.
#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// The model: `bundled`, a .pt or .safetensors file, or `hub:owner/name`.
    #[arg(long, default_value = "bundled", env = "MEDPARSE_MODEL", value_name = "MODEL")]
    model: ModelSource,
    #[command(flatten)]
    loading: LoadingOptions,
}

/// How a model is loaded, and what computes it.
#[derive(Args)]
#[command(next_help_heading = "Model")]
pub struct LoadingOptions {
    /// The network's YAML, where it is neither in the model file nor beside it.
    #[arg(long, env = "MEDPARSE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Side of the square the network sees, in pixels, instead of the configuration's.
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// How pictures that are not square are shown to the network, instead of the model's own way.
    #[arg(long, value_name = "HOW")]
    fit: Option<FitArgument>,
    /// What computes: cpu; or cuda, metal, vulkan or wgpu, where the program was built with them.
    #[arg(long, default_value_t, env = "MEDPARSE_DEVICE", value_name = "DEVICE")]
    device: Processor,
    /// How exactly cpu computes: f32, as the reference; bf16; int8. As the file's weights are packed
    /// by default, or else in f32.
    #[arg(long, env = "MEDPARSE_PRECISION", value_name = "PRECISION")]
    precision: Option<Precision>,
    /// Threads to compute with; all cores by default.
    #[arg(long, env = "MEDPARSE_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// How pictures become squares.
#[derive(Clone, Copy, ValueEnum)]
pub enum FitArgument {
    /// Width and height are scaled each by itself, as the reference does.
    Stretch,
    /// The picture is padded to a square with black first.
    Pad,
}

impl From<FitArgument> for Fit {
    fn from(fit: FitArgument) -> Self {
        match fit {
            FitArgument::Stretch => Self::Stretch,
            FitArgument::Pad => Self::Pad,
        }
    }
}

impl ModelOptions {
    /// What tells the model from another of the same name: of a file, its place, length and time of writing.
    pub fn identity(&self) -> String {
        let file = match &self.model {
            ModelSource::File(path) => {
                let place = path.canonicalize().unwrap_or_else(|_| path.clone());
                let facts = std::fs::metadata(path).ok();
                facts.map(|facts| format!("{place:?} {} {:?}", facts.len(), facts.modified().ok()))
            }
            _ => None,
        };
        format!("{} {file:?}", self.model)
    }

    /// What computes.
    pub fn device(&self) -> Processor {
        self.loading.device
    }

    /// What was typed, as the library takes it.
    pub fn load_options(&self) -> LoadOptions {
        self.loading.load_options()
    }

    /// What the model says of itself, without loading the weights of a file.
    pub fn description(&self) -> Result<Description> {
        let ModelSource::File(path) = &self.model else {
            let model = self.load()?;
            return Ok(Description {
                network: model.network().clone(),
                card: model.card().clone(),
            });
        };
        let checkpoint = Checkpoint::open(path)?;
        Ok(describe(&checkpoint, None, &self.loading.load_options())?.description)
    }

    /// Loads the model, with a progress line, and warns where its masks mean nothing.
    pub fn load(&self) -> Result<Model> {
        self.loading.set_threads()?;
        let mut loading = Loading::new(&self.model.to_string());
        let options = self.loading.load_options();
        let model = Model::load(&self.model, &options, &mut |step| loading.show(step))?;
        drop(loading);
        if model.card().weights != Provenance::Trained {
            complain(&format!(
                "warning: {} is an untrained network for trying the program: its masks mean \
                 nothing. Name a trained model with --model",
                model.card().name
            ));
        }
        Ok(model)
    }
}

impl LoadingOptions {
    /// What was typed, as the library takes it.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            config: self.config.clone(),
            image_size: self.image_size,
            fit: self.fit.map(Fit::from),
            processor: self.device,
            precision: self.precision,
            hub: None,
        }
    }

    /// Starts the threads that compute, where their number was given.
    ///
    /// # Errors
    /// When they run already.
    pub fn set_threads(&self) -> Result<()> {
        self.threads.map_or(Ok(()), set_threads)
    }
}

/// Starts so many threads, which compute from then on.
///
/// # Errors
/// When they run already.
pub fn set_threads(threads: NonZeroUsize) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .build_global()
        .context("cannot start the threads")
}
