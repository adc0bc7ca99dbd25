//! `medparse compare`: two endpoints on the same requests, for those who move from one to the other.

mod agreement;
mod caller;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::output::{complain, say, say_json};
use crate::progress;
use agreement::{Comparison, Summary};
use caller::{Caller, CallerOptions};

/// Requests that are named in the summary, the least alike first.
const NAMED: usize = 5;

/// Ask two endpoints the same requests and compare their masks and categories.
///
/// The requests are files of JSON as `POST /score` takes them, one or a folder of them. Each is sent
/// to both endpoints; masks are compared by Dice (two empty masks are alike), categories by name. The
/// status is 0 where both are alike enough, 1 where not or where a request failed.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse compare https://old.example/score http://127.0.0.1:5001/score requests/\n  MEDPARSE_OLD_KEY=… MEDPARSE_NEW_KEY=… medparse compare OLD NEW requests/ --least-dice 0.99 --json\n\nNothing of a request or a reply is printed or kept, except the names of the request files."
)]
pub struct Arguments {
    /// The scoring URI of the endpoint in use.
    #[arg(value_name = "OLD_URL")]
    old: String,
    /// The scoring URI of the one that is to take its place.
    #[arg(value_name = "NEW_URL")]
    new: String,
    /// Requests: files of JSON, or folders of them.
    #[arg(required = true, value_name = "REQUESTS")]
    requests: Vec<PathBuf>,
    /// The old endpoint's key.
    #[arg(long, env = "MEDPARSE_OLD_KEY", hide_env_values = true, value_name = "KEY")]
    old_key: Option<String>,
    /// The new endpoint's key.
    #[arg(long, env = "MEDPARSE_NEW_KEY", hide_env_values = true, value_name = "KEY")]
    new_key: Option<String>,
    /// A file of certificates (PEM) to trust instead of the public ones, for endpoints of one's own.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Seconds that a reply may take.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// The mean Dice from which on the endpoints count as alike.
    #[arg(long, default_value_t = 0.99, value_name = "DICE")]
    least_dice: f64,
    /// The share of equal categories from which on they do.
    #[arg(long, default_value_t = 0.99, value_name = "SHARE")]
    least_labels: f64,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let requests = requests(&arguments.requests)?;
    let caller = |url: &str, key: &Option<String>| {
        Caller::new(CallerOptions {
            url: url.to_owned(),
            key: key.clone(),
            authorities: arguments.ca.clone(),
            seconds: arguments.timeout,
        })
    };
    let old = caller(&arguments.old, &arguments.old_key)?;
    let new = caller(&arguments.new, &arguments.new_key)?;
    let bar = progress::pictures(requests.len());
    let mut summary = Summary::default();
    for path in &requests {
        bar.set_message(path.display().to_string());
        match compared(path, &old, &new) {
            Ok(comparison) => summary.add(&name_of(path), &comparison),
            Err(error) => {
                bar.suspend(|| complain(&format!("error: {}: {error:#}", path.display())));
                summary.failed += 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let alike = summary.is_alike(arguments.least_dice, arguments.least_labels);
    if arguments.json {
        say_json(&summary.report(alike))?;
    } else {
        say(&summary.table(NAMED))?;
        say(&format!(
            "{}: mean Dice at least {}, equal categories at least {:.1} %, no failure",
            if alike { "alike" } else { "not alike" },
            arguments.least_dice,
            100.0 * arguments.least_labels
        ))?;
    }
    Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One request to both endpoints.
fn compared(path: &Path, old: &Caller, new: &Caller) -> Result<Comparison> {
    let body = std::fs::read(path).context("cannot read it")?;
    let before = old.ask(&body).context("the old endpoint")?;
    let after = new.ask(&body).context("the new endpoint")?;
    Comparison::of(&before, &after)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files meant, those of a folder in the order of their names.
fn requests(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let reading = || format!("cannot read {}", path.display());
        if !std::fs::metadata(path).with_context(reading)?.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries: std::io::Result<Vec<_>> =
            std::fs::read_dir(path).with_context(reading)?.collect();
        let files = entries.with_context(reading)?.into_iter().map(|entry| entry.path());
        let mut files: Vec<_> = files
            .filter(|file| {
                file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
            })
            .collect();
        files.sort();
        ensure!(
            !files.is_empty(),
            "{} holds no requests; expected files ending in .json",
            path.display()
        );
        found.extend(files);
    }
    Ok(found)
}
