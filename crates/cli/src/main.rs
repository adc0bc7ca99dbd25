//! The `medparse` command: what was typed, what it means, and one file per verb.

mod commands;
mod confinement;
mod lifetimes;
mod model_options;
mod output;
mod progress;
mod serving;
mod signals;
mod state_options;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::{complain, is_broken_pipe};

/// Large tensors come and go by the second; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Masks from a medical picture and words, on your own machine.
///
/// medparse runs models of the MedImageParse/BiomedParse family: give it a picture and phrases,
/// and it answers with one mask and one category per phrase. Nothing leaves this machine, except
/// where you ask for it: `model pull` and `--model hub:…` fetch weights, `compare` asks the two
/// endpoints it is given, `serve --oidc-issuer` fetches the issuer's keys.
///
/// Research software, not a medical device.
#[derive(Parser)]
#[command(
    name = "medparse",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Start here:\n  medparse segment picture.png -p \"neoplastic cells & inflammatory cells\" --overlay\n  medparse model verify biomedparse_v1.pt\n  medparse serve\n\nExit status: 0 done, 1 something could not be done (said on standard error), 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Segment(commands::segment::Arguments),
    Batch(commands::batch::Arguments),
    Prepare(commands::prepare::Arguments),
    Recognize(commands::recognize::Arguments),
    #[command(subcommand)]
    Model(commands::model::Command),
    Targets(commands::targets::Arguments),
    Evaluate(commands::evaluate::Arguments),
    Train(commands::train::Arguments),
    Bench(commands::bench::Arguments),
    Doctor(commands::doctor::Arguments),
    Compare(commands::compare::Arguments),
    Serve(commands::serve::Arguments),
    Ui(commands::ui::Arguments),
    #[command(subcommand)]
    Endpoint(commands::endpoint::Command),
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Write manual pages, one for each verb.
    ///
    /// For everybody: `sudo medparse man /usr/local/share/man/man1`
    Man {
        /// Folder for them, made if it is not there.
        #[arg(value_name = "DIR")]
        folder: std::path::PathBuf,
    },
    /// Print a completion script for a shell.
    ///
    /// For bash: `medparse completions bash > ~/.local/share/bash-completion/completions/medparse`
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Segment(arguments) => commands::segment::run(&arguments),
        Command::Batch(arguments) => commands::batch::run(&arguments),
        Command::Recognize(arguments) => commands::recognize::run(&arguments),
        Command::Prepare(arguments) => commands::prepare::run(&arguments),
        Command::Model(command) => commands::model::run(&command),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Targets(arguments) => commands::targets::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Doctor(arguments) => commands::doctor::run(&arguments),
        Command::Compare(arguments) => commands::compare::run(&arguments),
        Command::Bench(arguments) => commands::bench::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Ui(arguments) => commands::ui::run(&arguments),
        Command::Endpoint(command) => commands::endpoint::run(&command),
        Command::Keys(command) => commands::keys::run(&command),
        Command::Man { folder } => commands::man::run(Cli::command(), &folder),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "medparse", &mut script);
            output::write_all(&script).map(|()| ExitCode::SUCCESS)
        }
    };
    match result {
        Ok(code) => code,
        // Whoever read our output has had enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
