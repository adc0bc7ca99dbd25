//! `medparse segment`: pictures and phrases in; masks, overlays and numbers out.

mod inputs;
mod outputs;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use medparse::{Interaction, Model, Prompt, SegmentOptions, Segmentation};
use medparse_imaging::{ColorModel, Picture};

use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};
use crate::progress;
use inputs::Input;
use outputs::Outputs;
use report::{PictureReport, Settings};

/// Find objects in pictures by words: one mask per phrase.
///
/// Writes, for each picture, one mask PNG per phrase (255 where the object is, 0 elsewhere, of
/// the picture's own size), a JSON file with category, area, box and probability of each, and
/// with --overlay the picture with its masks drawn in and a legend.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse segment slide.png -p \"neoplastic cells & inflammatory cells\" --overlay\n  medparse segment scans/ -p liver -p spleen -o masks --json > answers.jsonl\n  medparse segment ct.png -p \"liver & left kidney\" --model biomedparse_v1.pt\n\nPhrases of one run see each other, as in the reference: a mask may change when another phrase\nis asked beside it. --independent asks each for itself.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// PNG or JPEG files, or folders of them (searched to the bottom).
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// What to look for; several phrases are separated by `&`, or given by several -p.
    #[arg(short, long = "prompt", required = true, value_name = "PHRASES")]
    prompts: Vec<String>,
    /// Folder for the results, made if it is not there.
    #[arg(short, long, default_value = "medparse-output", value_name = "DIR")]
    output: PathBuf,
    /// Draw the masks over each picture, with a legend.
    #[arg(long)]
    overlay: bool,
    /// Print one line of JSON per picture instead of a table.
    #[arg(long)]
    json: bool,
    /// Ask each phrase for itself instead of all together.
    #[arg(long)]
    independent: bool,
    /// A pixel belongs to a mask where its probability is greater than this.
    #[arg(long, default_value_t = 0.5, value_parser = probability, value_name = "P")]
    threshold: f32,
    #[command(flatten)]
    model: ModelOptions,
}

fn probability(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{value} is not a probability; expected 0 to 1"))
    }
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
    let interaction =
        if arguments.independent { Interaction::Independent } else { Interaction::Joint };
    let options = SegmentOptions { interaction, threshold: arguments.threshold };
    let settings = Settings {
        model: model.card().name.clone(),
        device: arguments.model.device().to_string(),
        precision: "f32",
        interaction,
        threshold: arguments.threshold,
    };
    let run = Run { arguments, prompts: &prompts, options, settings, outputs: &outputs };

    let bar = progress::pictures(inputs.len());
    let mut failed = 0;
    for input in &inputs {
        bar.set_message(input.path.display().to_string());
        let outcome = run.picture(&model, input);
        let told = bar.suspend(|| -> Result<()> {
            match outcome {
                Ok(report) if arguments.json => say_json(&report),
                Ok(report) => say(&report.table()),
                Err(error) => {
                    failed += 1;
                    complain(&format!("error: {error:#}"));
                    Ok(())
                }
            }
        });
        told?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if failed > 0 && inputs.len() > 1 {
        complain(&format!("{failed} of {} pictures failed", inputs.len()));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is the same for all pictures of a run.
struct Run<'a> {
    arguments: &'a Arguments,
    prompts: &'a [Prompt],
    options: SegmentOptions,
    settings: Settings,
    outputs: &'a Outputs,
}

impl Run<'_> {
    fn picture(&self, model: &Model, input: &Input) -> Result<PictureReport> {
        let picture = Picture::open(&input.path)?;
        let started = Instant::now();
        let answers = model.segment_with(&picture, self.prompts, &self.options)?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(!answers.is_empty(), "{}: the model gave no answer", input.path.display());
        let warnings = warnings(&picture, &answers);
        for warning in &warnings {
            complain(&format!("warning: {}: {warning}", input.path.display()));
        }
        let masks = self.outputs.write_masks(input, &answers)?;
        let overlay = if self.arguments.overlay {
            Some(self.outputs.write_overlay(input, &picture, &answers)?)
        } else {
            None
        };
        let report = PictureReport::new(report::Parts {
            image: &input.path,
            picture: &picture,
            settings: &self.settings,
            seconds,
            answers: &answers,
            masks: &masks,
            overlay,
            warnings,
        });
        self.outputs.write_report(input, &report)?;
        Ok(report)
    }
}

/// What a person should know before trusting the answers.
fn warnings(picture: &Picture, answers: &[Segmentation]) -> Vec<String> {
    let mut warnings = Vec::new();
    let source = picture.source();
    if source.color == ColorModel::Gray && source.bits == 16 {
        warnings.push(
            "16-bit gray: the high byte was taken, so a scan that uses only the low values \
             looks dark to the model"
                .into(),
        );
    }
    for (index, _) in answers.iter().enumerate().filter(|(_, answer)| answer.truncated) {
        let kept = medparse::tokenizer::CONTEXT_LENGTH;
        let phrase = index + 1;
        warnings.push(format!("phrase {phrase} is longer than {kept} tokens: its end was ignored"));
    }
    warnings
}

/// The name of a file without its folder and ending, for people.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
