//! `medparse segment`: pictures and phrases in; masks, overlays and numbers out.

pub mod inputs;
pub mod options;
pub mod outputs;
pub mod report;
pub mod run;
pub mod scan;
mod tiles;
mod volume_report;
mod volumes;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medparse::tokenizer::{CONTEXT_LENGTH, Tokenizer};
use medparse::{Model, Prompt};

use crate::model_options::ModelOptions;
use crate::output::{complain, say};
use crate::progress::Pictures;
use options::WorkOptions;
use outputs::Outputs;
use run::Run;

/// Find objects in pictures by words: one mask per phrase.
///
/// Writes, for each picture, one mask PNG per phrase (255 where the object is, 0 elsewhere, of
/// the picture's own size), a JSON file with category, area, box and probability of each, and
/// with --overlay the picture with its masks drawn in and a legend. Of a volume every slice is
/// asked, and a label map is written (NIfTI where the voxels have a place in the patient).
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse segment slide.png -p \"neoplastic cells & inflammatory cells\" --overlay\n  medparse segment scans/ -p liver -p spleen -o masks --json > answers.jsonl\n  medparse segment ct.png -p \"liver & left kidney\" --model biomedparse_v1.pt\n  medparse segment ct.nii.gz -p \"liver & left kidney\" --window abdomen --format nifti,html\n  medparse segment series/ -p \"lung tumor\" --window lung --format dicom-seg,rtstruct\n  medparse segment slide.tif -p nuclei --um-per-px 0.5 --format geojson --overlay\n\nPhrases of one run see each other, as in the reference: a mask may change when another phrase\nis asked beside it. --independent asks each for itself.\n\nVolumes and tiled pictures that were stopped go on where they were when the same command is\ngiven again; what is done is kept in NAME.partial until the results are written.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// Pictures (PNG, JPEG, TIFF, BMP), scans (DICOM, NIfTI, NRRD), folders of a DICOM series, or
    /// folders of pictures and scans (searched to the bottom).
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// What to look for; several phrases are separated by `&`, or given by several -p.
    #[arg(short, long = "prompt", required = true, value_name = "PHRASES")]
    prompts: Vec<String>,
    /// Folder for the results, made if it is not there.
    #[arg(short, long, default_value = "medparse-output", value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    work: WorkOptions,
    /// Print one line of JSON per picture instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

/// Runs the verb; fails where any picture failed, after all others are done.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let prompts = match Prompt::split(&arguments.prompts.join("&")) {
        Ok(prompts) => prompts,
        Err(error) => {
            complain(&format!("error: --prompt: {error}"));
            return Ok(ExitCode::from(2));
        }
    };
    let inputs = inputs::find(&arguments.images)?;
    let outputs = Outputs::prepare(&arguments.output, &inputs, &prompts)?;
    let model = arguments.model.load()?;
    let identity = arguments.model.identity();
    let warnings = phrase_warnings(&model, &prompts);
    for warning in &warnings {
        complain(&format!("warning: {warning}"));
    }
    let lines = Pictures::new(inputs.len());
    let run = Run {
        work: &arguments.work,
        model: &model,
        identity: &identity,
        prompts: &prompts,
        options: arguments.work.segment_options(),
        settings: arguments.work.settings(&model, &arguments.model),
        outputs: &outputs,
        warnings,
        lines: &lines,
    };
    let mut failed = 0;
    for input in &inputs {
        lines.bar.set_message(input.path.display().to_string());
        let outcome = run.input(input);
        let told = lines.suspend(|| -> Result<()> {
            match outcome {
                Ok(report) if arguments.json => report.say_json(),
                Ok(report) => say(&report.table()),
                Err(error) => {
                    failed += 1;
                    complain(&format!("error: {error:#}"));
                    Ok(())
                }
            }
        });
        told?;
        lines.bar.inc(1);
    }
    lines.bar.finish_and_clear();
    if failed > 0 && inputs.len() > 1 {
        complain(&format!("{failed} of {} pictures failed", inputs.len()));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a person should know of the phrases before trusting the answers.
pub fn phrase_warnings(model: &Model, prompts: &[Prompt]) -> Vec<String> {
    let tokenizer = Tokenizer::new();
    let mut warnings = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let phrase = index + 1;
        if tokenizer.encode(prompt.as_str()).is_truncated() {
            warnings.push(format!(
                "phrase {phrase} is longer than {CONTEXT_LENGTH} tokens: its end was ignored"
            ));
        }
        if let Some(outside) = model.card().outside(prompt.as_str()) {
            warnings.push(format!("phrase {phrase} {outside}"));
        }
    }
    warnings
}
