//! `medparse model`: where weights come from, what they are, whether they work.

mod convert;
mod init;
mod inspect;
mod list;
mod pull;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

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
