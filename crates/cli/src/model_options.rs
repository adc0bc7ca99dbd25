//! The flags of every verb that loads a model.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use medparse::device::Processor;
use medparse::preprocess::Fit;
use medparse::{LoadOptions, Model, ModelSource, Provenance};

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
    /// What computes: cpu.
    #[arg(long, default_value_t, env = "MEDPARSE_DEVICE", value_name = "DEVICE")]
    device: Processor,
    /// Threads to compute with; all cores by default.
    #[arg(long, env = "MEDPARSE_THREADS", value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FitArgument {
    /// Width and height are scaled each by itself, as the reference does.
    Stretch,
    /// The picture is padded to a square with black first.
    Pad,
}

impl ModelOptions {
    /// What computes.
    pub fn device(&self) -> Processor {
        self.loading.device
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
            fit: self.fit.map(|fit| match fit {
                FitArgument::Stretch => Fit::Stretch,
                FitArgument::Pad => Fit::Pad,
            }),
            processor: self.device,
            hub: None,
        }
    }

    /// Starts the threads that compute, where their number was given.
    ///
    /// # Errors
    /// When they run already.
    pub fn set_threads(&self) -> Result<()> {
        let Some(threads) = self.threads else { return Ok(()) };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .context("cannot start the threads")
    }
}
