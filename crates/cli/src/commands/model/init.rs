//! `medparse model init`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use medparse::Provenance;
use medparse::card::Description;
use medparse::convert::write_model;
use medparse::made::{Unused, deterministic_tensors, fresh_tensors, made_card};
use medparse_network::NetworkConfig;

use super::{format_of, written};
use crate::output::say;
use crate::progress;

/// Make a model file without training: fresh weights, or test weights that follow from a rule.
///
/// Without --config it has the sizes of the published model (1.4 GB).
#[derive(Args)]
#[command(
    after_help = "Example:\n  medparse model init full.pt --deterministic --with-unused\n\nwrites a file of the published checkpoint's keys, shapes and size, for trying what loads it."
)]
pub struct Arguments {
    /// The new file; its ending (.safetensors, .pt) chooses the format.
    output: PathBuf,
    /// The network's YAML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take weights that follow from each tensor's name, equal on every machine.
    #[arg(long, conflicts_with = "seed")]
    deterministic: bool,
    /// Write the published checkpoint's unused weights too (a quarter of it).
    #[arg(long, requires = "deterministic")]
    with_unused: bool,
    /// Seed of fresh weights.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let output = &arguments.output;
    let format = format_of(output)?;
    let network = match &arguments.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            NetworkConfig::from_yaml(&text).with_context(|| path.display().to_string())?
        }
        None => NetworkConfig::biomedparse_v1(),
    };
    let (tensors, provenance) = if arguments.deterministic {
        let unused = if arguments.with_unused { Unused::Included } else { Unused::LeftOut };
        (deterministic_tensors(&network, unused), Provenance::Deterministic)
    } else {
        (fresh_tensors(&network, arguments.seed), Provenance::Untrained)
    };
    let name = output.file_stem().unwrap_or_default().to_string_lossy();
    let description = Description { network, card: made_card(&name, provenance) };
    let bar = progress::transfer();
    bar.set_message(format!("writing {}", output.display()));
    write_model(output, format, tensors, &description, None, &mut |step| {
        bar.set_length(step.total_bytes);
        bar.set_position(step.bytes);
    })?;
    bar.finish_and_clear();
    say(&format!("{}; its masks mean nothing", written(output)?))?;
    Ok(ExitCode::SUCCESS)
}
