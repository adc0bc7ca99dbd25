//! `medparse model pull`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use medparse::ModelSource;
use medparse::sources::hub::{self, Access, HubOptions};

use crate::output::{say, say_json};
use crate::progress::Loading;

/// Fetch a model from the Hugging Face hub into its usual cache on this machine.
///
/// A model that is named by `--model hub:…` and is not here yet is fetched the same way. An
/// interrupted download goes on where it stopped; checksums are compared.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  medparse model pull hub:microsoft/BiomedParse\n  medparse model pull hub:owner/name@main/weights/model.safetensors\n\nEnvironment: HF_TOKEN (private and gated repositories), HF_ENDPOINT, HF_HOME, HF_HUB_CACHE,\nHF_HUB_OFFLINE, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE."
)]
pub struct Arguments {
    /// `hub:owner/name`, with `@revision` and `/file` where there is a choice.
    model: ModelSource,
    /// Look into the cache only.
    #[arg(long)]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let ModelSource::Hub(reference) = &arguments.model else {
        bail!("{}: expected hub:owner/name", arguments.model);
    };
    let mut options = HubOptions::from_env()?;
    if arguments.offline {
        options.access = Access::Offline;
    }
    let mut loading = Loading::new(&arguments.model.to_string());
    let pulled = hub::pull(reference, &options, &mut |step| loading.fetching(step))?;
    drop(loading);
    if arguments.json {
        say_json(&serde_json::json!({
            "model": arguments.model.to_string(),
            "weights": pulled.weights,
            "config": pulled.config,
            "commit": pulled.commit,
        }))?;
    } else {
        say(&format!("{}", pulled.weights.display()))?;
        say(&format!("use it: medparse segment picture.png -p \"…\" --model {}", arguments.model))?;
    }
    Ok(ExitCode::SUCCESS)
}
