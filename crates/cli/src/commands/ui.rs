//! `medparse ui`: the page, in the browser.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;
use clap::Args;

use super::serve;
use crate::output::complain;

/// Look at pictures and ask about them in the browser.
///
/// Starts the server of `medparse serve`, with the same options, and opens its page. Pictures go
/// from the browser to this server and nowhere else.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse ui\n  medparse ui --model biomedparse_v1.pt\n\nCtrl-C ends the server.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// Start the server and open nothing.
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    serve: serve::Arguments,
}

/// Runs the verb until a signal ends it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    serve::run_and(&arguments.serve, |page| {
        if !arguments.no_browser && !opened(page) {
            complain(&format!("no browser was found here; open {page} in one"));
        }
    })
}

/// Hands an address to the desktop; false where there is none.
fn opened(page: &str) -> bool {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(page);
    // What a browser has to say is not for this terminal.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().is_ok()
}
