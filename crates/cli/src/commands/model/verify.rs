//! `medparse model verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use medparse::LoadOptions;
use medparse::verify::{Check, CheckKind, Verification, verify};

use crate::output::{bytes, say, say_json};
use crate::progress;

/// Check that a model file works: its keys and shapes, its numbers, and a picture through it.
///
/// Takes up to a minute for the published model. Ends with status 1 where something is wrong, and
/// says what.
#[derive(Args)]
#[command(after_help = "Example:\n  medparse model verify biomedparse_v1.pt")]
pub struct Arguments {
    /// A .pt or .safetensors file.
    file: PathBuf,
    /// The network's YAML, where it is neither in the file nor beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Side of the square the network sees, in pixels, instead of the configuration's.
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let started = Instant::now();
    let options = LoadOptions {
        config: arguments.config.clone(),
        image_size: arguments.image_size,
        ..LoadOptions::default()
    };
    let bar = progress::spinner("opening the file");
    let line = bar.clone();
    let result = verify(
        &arguments.file,
        &options,
        &mut |kind| line.set_message(format!("checking {}", title(kind))),
        &mut |_| (),
    )?;
    bar.finish_and_clear();
    if arguments.json {
        say_json(&result)?;
    } else {
        let size = std::fs::metadata(&arguments.file).map_or(0, |metadata| metadata.len());
        let name = arguments.file.display();
        say(&format!(
            "{name}: {}, {}, {} tensors ({} of them never read by text prompting), {} values in use",
            result.format,
            bytes(size),
            result.tensors,
            result.unused_tensors,
            medparse_imaging::grouped(result.values as u64),
        ))?;
        for check in &result.checks {
            say(&line_of(check))?;
        }
        say(&phrases(&result))?;
        say(&verdict(&result, &arguments.file, started.elapsed().as_secs_f64()))?;
    }
    Ok(if result.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn title(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::Keys => "keys and shapes",
        CheckKind::Numbers => "numbers",
        CheckKind::Words => "words",
        CheckKind::Picture => "a picture",
    }
}

fn line_of(check: &Check) -> String {
    let mark = if check.passed { "ok   " } else { "WRONG" };
    format!("  {mark}  {:16} {}", title(check.kind), check.found)
}

fn phrases(result: &Verification) -> String {
    let lines = result.phrases.iter().map(|phrase| {
        let truth = match phrase.dice {
            Some(dice) => format!("Dice {dice:.2} with what was drawn"),
            None => "not in the picture".into(),
        };
        format!(
            "         {:20} covers {:>5.1} %, {truth}, category {}",
            phrase.prompt,
            100.0 * phrase.covered,
            phrase.category
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn verdict(result: &Verification, file: &Path, seconds: f64) -> String {
    match (result.passed(), result.deterministic) {
        (false, _) => format!("does not work ({seconds:.0} s)"),
        (true, true) => format!(
            "works ({seconds:.0} s); its weights are the deterministic test weights, so its masks mean nothing"
        ),
        (true, false) => format!(
            "works ({seconds:.0} s); try it: medparse segment picture.png -p \"…\" --overlay --model {}",
            file.display()
        ),
    }
}
