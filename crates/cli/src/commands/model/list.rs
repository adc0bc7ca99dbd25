//! `medparse model list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medparse::sources::installed::{InstalledModel, installed};

use crate::output::{bytes, say, say_json};

/// List the models on this machine: the bundled one, and those fetched from the hub.
#[derive(Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let models = installed()?;
    if arguments.json {
        say_json(&models)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = models.iter().map(|model| model.source.len()).max().unwrap_or(0);
    for InstalledModel { source, bytes: size, summary, .. } in &models {
        let size = size.map_or("built in".into(), bytes);
        say(&format!("{source:width$}  {size:>10}  {summary}"))?;
    }
    say("a file is named by its path: --model model.safetensors")?;
    Ok(ExitCode::SUCCESS)
}
