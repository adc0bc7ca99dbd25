//! `medparse batch`: many pictures, in a run that may be stopped at any moment.

mod records;
mod rows;
mod workshop;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use medparse::Prompt;
use medparse_batch::{Finished, Item, Manifest, Shard, Verdict, manifest};
use medparse_imaging::write_atomic;

use super::segment::inputs;
use super::segment::options::WorkOptions;
use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};
use crate::progress::Pictures;
use crate::signals::stop_switch;
use records::Records;
use workshop::{Made, Workshop};

/// Failures that are named at the end of a run; the rest is in its file.
const NAMED_FAILURES: usize = 10;

/// Find objects in many pictures; stopped at any moment, the same command does the rest.
///
/// The input is a folder of pictures and scans; a manifest (CSV, JSON lines or Parquet) with a
/// column `image` (paths or base64) and perhaps `text` (phrases) and `id` (the name of the
/// results); or a folder of such manifests, as the batch endpoints of Azure take them.
///
/// Of pictures in files the output folder gets what `medparse segment` writes: masks, a JSON, and
/// what --overlay and --format ask for. Of pictures inside a manifest it gets predictions.csv, row
/// by row: the index, the masks and the categories, as the hosted service writes them.
///
/// A picture that can't be done is listed in failures.csv with the reason, and the run goes on; the
/// same command tries it again.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse batch scans/ -o masks -p \"liver & spleen\" --window abdomen\n  medparse batch pictures.csv -o masks --workers 3\n  medparse batch batch_input_001.csv -o out          # image in base64, text: out/predictions.csv\n  medparse batch scans/ -o masks -p liver --shard $SLURM_ARRAY_TASK_ID/16\n\nOne shard of a Kubernetes indexed job: --shard $(JOB_COMPLETION_INDEX)/16. Shards share one output\nfolder; which shard has a picture follows from its name.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// A folder of pictures, a manifest (.csv, .jsonl, .ndjson, .parquet) or a folder of manifests.
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Folder for the results, made if it is not there.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// What to look for where the manifest does not say; several phrases are separated by `&`, or
    /// given by several -p.
    #[arg(short, long = "prompt", value_name = "PHRASES")]
    prompts: Vec<String>,
    /// Pictures at the same time, on one model: one is read and written while another is computed.
    #[arg(long, default_value = "2", env = "MEDPARSE_WORKERS", value_name = "N")]
    workers: NonZeroUsize,
    /// Do one part of several, such as 3/16; counted from 1 or from 0, where 0 is the last.
    #[arg(long, default_value = "1/1", env = "MEDPARSE_SHARD", value_name = "I/N")]
    shard: Shard,
    /// What is written: files for each picture, or one predictions.csv. By default files, and
    /// predictions where the pictures are inside the manifest.
    #[arg(long, value_enum, value_name = "FORM")]
    results: Option<Form>,
    /// Print one line of JSON for each picture that is done or failed.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    work: WorkOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is written of each picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// What `medparse segment` writes.
    Files,
    /// A row of predictions.csv.
    Predictions,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let default_text = arguments.prompts.join("&");
    if !arguments.prompts.is_empty()
        && let Err(error) = Prompt::split(&default_text)
    {
        complain(&format!("error: --prompt: {error}"));
        return Ok(ExitCode::from(2));
    }
    let manifest = manifest_of(&arguments.input)?;
    let form = match arguments.results {
        Some(form) => form,
        None if manifest.is_inline()? => Form::Predictions,
        None => Form::Files,
    };
    ensure!(
        form == Form::Files || (!arguments.work.draws() && arguments.work.format.is_empty()),
        "--overlay and --format write files: give --results files with them"
    );
    let mut unasked = None;
    let total = manifest.count(|item| {
        if item.text.is_none() && default_text.is_empty() {
            unasked.get_or_insert_with(|| item.name.clone());
        }
        arguments.shard.holds(&item.name)
    })?;
    if let Some(name) = unasked {
        complain(&format!(
            "error: nothing is asked of {name:?}; give -p \"PHRASES\", or a column \"text\" in the manifest"
        ));
        return Ok(ExitCode::from(2));
    }
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make the output folder {}", arguments.output.display()))?;
    let stop = stop_switch("stopping: finishing what is begun (once more ends at once)")?;
    let model = arguments.model.load()?;
    let identity = arguments.model.identity();
    let settings = settings(arguments, form, &model, &identity, &default_text);
    let mut records = Records::open(&arguments.output, arguments.shard, form, &settings)?;
    let mut done_before = HashSet::new();
    let before = manifest.count(|item| {
        let key = item.key(&default_text);
        let is_done = arguments.shard.holds(&item.name) && records.is_done(key);
        if is_done {
            done_before.insert(key);
        }
        is_done
    })?;
    if before > 0 {
        complain(&format!("{before} of {total} were done before; going on with the rest"));
    }

    let lines = Pictures::new(total as usize);
    lines.bar.set_position(before);
    lines.bar.reset_eta();
    let workshop = Workshop {
        arguments,
        model: &model,
        identity: &identity,
        default_text: &default_text,
        form,
        lines: &lines,
    };
    let mut broken = None;
    // Read as they are wanted: pictures inside a manifest are many times what memory holds.
    let mut items = manifest
        .items()?
        .map_while(|item| item.map_err(|error| broken = Some(error)).ok())
        .map(|item| {
            let key = item.key(&default_text);
            (item, key)
        })
        .filter(|(item, key)| arguments.shard.holds(&item.name) && !done_before.contains(key));

    let began = Instant::now();
    let (mut done, mut failed) = (0u64, 0u64);
    let outcome = medparse_batch::run(
        &mut items,
        arguments.workers,
        &|_, item: &Item| workshop.make(item).map_err(|error| format!("{error:#}")),
        &mut |finished: Finished<Made>| -> Result<Verdict> {
            let line = Line::of(&finished);
            match &finished.outcome {
                Ok(_) => done += 1,
                Err(_) => failed += 1,
            }
            records.add(finished)?;
            lines.bar.inc(1);
            lines.bar.set_message(rate(done, failed, began.elapsed()));
            if arguments.json {
                lines.suspend(|| say_json(&line))?;
            }
            Ok(if stop.load(Ordering::Relaxed) { Verdict::Stop } else { Verdict::GoOn })
        },
    );
    lines.bar.finish_and_clear();
    outcome?;
    records.sync()?;
    drop(items);
    if let Some(error) = broken {
        return Err(error.into());
    }
    let failures = records.failures();
    let listed = list_failures(arguments, &failures)?;
    let all = before + done;
    let summary = format!(
        "{all} of {total} done ({before} before, {done} now, {}), {} failed",
        rate_alone(done, began.elapsed()),
        failures.len()
    );
    if arguments.json {
        complain(&summary)
    } else {
        say(&summary)?
    }
    for (name, reason) in failures.iter().take(NAMED_FAILURES) {
        complain(&format!("  {name}: {reason}"));
    }
    if let Some(path) = listed {
        complain(&format!("all failures: {}", path.display()));
    }
    if stop.load(Ordering::Relaxed) && all + failed < total {
        complain("stopped; the same command does the rest");
        return Ok(ExitCode::from(130));
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is done of one picture, for machines.
#[derive(serde::Serialize)]
struct Line {
    item: String,
    seconds: f64,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Line {
    fn of(finished: &Finished<Made>) -> Self {
        Self {
            item: finished.item.clone(),
            seconds: finished.took.as_secs_f64(),
            error: finished.outcome.as_ref().err().cloned(),
        }
    }
}

/// The pictures meant: of a folder that holds manifests its manifests, of another its pictures.
fn manifest_of(input: &Path) -> Result<Manifest> {
    let kind =
        std::fs::metadata(input).with_context(|| format!("cannot read {}", input.display()))?;
    if !kind.is_dir() || holds_manifest(input)? {
        return Ok(Manifest::open(input)?);
    }
    let found = inputs::find(&[input.to_owned()])?.into_iter();
    Ok(Manifest::of_files(
        found.map(|input| (input.name.to_string_lossy().into_owned(), input.path)).collect(),
    ))
}

fn holds_manifest(folder: &Path) -> Result<bool> {
    let reading = || format!("cannot read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_file() && manifest::is_manifest(&path) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What results depend on beside the picture and its own phrases.
fn settings(
    arguments: &Arguments,
    form: Form,
    model: &medparse::Model,
    identity: &str,
    default_text: &str,
) -> serde_json::Value {
    let work = &arguments.work;
    let typed = arguments.model.load_options();
    serde_json::json!({
        "model": model.card().name,
        "file": identity,
        "precision": model.precision().name(),
        // Null where the model's own is taken.
        "config": typed.config.map(|path| path.display().to_string()),
        "image_size": typed.image_size,
        "fit": typed.fit,
        "prompt": default_text,
        "results": format!("{form:?}").to_lowercase(),
        "independent": work.independent,
        "threshold": work.threshold,
        "presence_threshold": work.presence_threshold,
        "overlay": work.draws(),
        "formats": work.format.iter().map(|format| format.name()).collect::<Vec<_>>(),
        "scan": format!("{:?}", work.scan),
        "volumes": [work.smooth, work.largest],
        "tiles": [work.tile.map(f64::from), work.um_per_px],
    })
}

/// `failures.csv`: the names of what could not be done, with the reasons; none where all could.
fn list_failures(arguments: &Arguments, failures: &[(&str, &str)]) -> Result<Option<PathBuf>> {
    let path = arguments.output.join(part_name("failures", arguments.shard, "csv"));
    if failures.is_empty() {
        // That of an earlier run, whose failures are mended.
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(None),
        };
    }
    write_atomic(&path, &rows::table(&["item", "reason"], failures)?)?;
    Ok(Some(path))
}

/// A common file's name: of one shard of several, with its number.
fn part_name(name: &str, shard: Shard, ending: &str) -> String {
    if shard.is_whole() {
        format!("{name}.{ending}")
    } else {
        format!("{name}-{}.{ending}", shard.file_name())
    }
}

fn rate(done: u64, failed: u64, took: Duration) -> String {
    match failed {
        0 => rate_alone(done, took),
        _ => format!("{}, {failed} failed", rate_alone(done + failed, took)),
    }
}

fn rate_alone(done: u64, took: Duration) -> String {
    let per_second = done as f64 / took.as_secs_f64().max(1e-9);
    if done == 0 {
        "0 a second".into()
    } else if per_second < 1.0 {
        format!("{:.1} a minute", per_second * 60.0)
    } else {
        format!("{per_second:.1} a second")
    }
}
