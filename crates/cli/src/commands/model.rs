//! `medparse model`: where weights come from, what they are, whether they work.

mod convert;
mod init;
mod inspect;
mod list;
mod pull;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use medparse::convert::ModelFormat;

use crate::output::bytes;

/// Fetch, check, look at and convert model files.
#[derive(Subcommand)]
pub enum Command {
    List(list::Arguments),
    Pull(pull::Arguments),
    Verify(verify::Arguments),
    Inspect(inspect::Arguments),
    Convert(convert::Arguments),
    Init(init::Arguments),
}

/// Runs one of the verbs.
pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::List(arguments) => list::run(arguments),
        Command::Pull(arguments) => pull::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Convert(arguments) => convert::run(arguments),
        Command::Init(arguments) => init::run(arguments),
    }
}

/// The format that the ending of a new file's name chooses.
fn format_of(output: &Path) -> Result<ModelFormat> {
    ModelFormat::of(output).with_context(|| {
        format!("{}: expected a name ending in .safetensors, .pt or .pth", output.display())
    })
}

/// What is said of a new file.
fn written(output: &Path) -> Result<String> {
    let size = std::fs::metadata(output).context("looking at the new file")?.len();
    Ok(format!("wrote {} ({})", output.display(), bytes(size)))
}
