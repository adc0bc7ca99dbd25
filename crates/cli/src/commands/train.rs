//! `medparse train`: a network learns from labelled pictures.

mod check;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use medparse::ModelSource;
use medparse::device::Processor;
use medparse_kernels::allocator::keep_freed_pages;
use medparse_train::evaluate::Report;
use medparse_train::{
    Control, Event, MODEL_FILE, Overrides, StepReport, TrainConfig, Trainer, Validation,
};

use crate::model_options::set_threads;
use crate::output::{complain, say};
use crate::progress;
use crate::signals::stop_switch;

/// Steps between two lines where nobody watches a progress bar.
const QUIET_STEPS: u64 = 50;

/// Train a network, or fine-tune one, on labelled pictures.
///
/// Goes on where the output folder's run was left, with the same losses as if it had never been:
/// Ctrl-C saves it first. The output folder gets model.safetensors, which every command takes as
/// --model, log.jsonl with every step, and a picture of answers for each evaluation.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse train run.yaml --check\n  medparse train run.yaml\n  medparse train parameters.yaml --data my-dataset --from biomedparse_v1.pt --output run\n\nThe smallest description:\n  data: my-dataset          # a folder with an index.json, or BiomedParse's train/ and train_mask/\n  output: run\n  from: biomedparse_v1.pt   # a .pt or .safetensors file, `bundled` or hub:owner/name; fresh without it\n\nThe hosted service's parameters.yaml works, too. Pictures whose targets have sides (\"left lung\")\nare never mirrored or turned over.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// The run's description, a YAML file.
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// The labelled pictures, instead of the description's.
    #[arg(long, value_name = "DATASET")]
    data: Option<PathBuf>,
    /// The output folder, instead of the description's.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The weights to start from (a .pt or .safetensors file, `bundled`, or hub:owner/name), instead
    /// of the description's.
    #[arg(long, value_name = "MODEL")]
    from: Option<ModelSource>,
    /// What computes, instead of the description's.
    #[arg(long, env = "MEDPARSE_DEVICE", value_name = "DEVICE")]
    device: Option<Processor>,
    /// Threads to compute with; all cores by default.
    #[arg(long, env = "MEDPARSE_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Only look at the description and at every file of the dataset, and name each bad one.
    #[arg(long)]
    check: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    keep_freed_pages();
    arguments.threads.map_or(Ok(()), set_threads)?;
    let overrides = Overrides {
        data: arguments.data.clone(),
        output: arguments.output.clone(),
        from: arguments.from.clone(),
        device: arguments.device,
    };
    let config = TrainConfig::read_with(&arguments.config, overrides)?;
    if arguments.check {
        return check::run(&config);
    }
    let output = config.output.clone();
    let stop = stop_switch("stopping: saving after this step (once more ends at once)")?;
    let mut trainer = Trainer::new(config)?;
    let (made, total) = (trainer.next_step(), trainer.total_steps());
    if made > 0 {
        complain(&format!("going on after step {made} of {total}"));
    }
    let mut watch = Watch { bar: progress::steps(made, total), measuring: None, failed: Ok(()) };
    let outcome = trainer.run(&mut |event| {
        watch.tell(event);
        let ends = stop.load(Ordering::Relaxed) || watch.failed.is_err();
        if ends { Control::Stop } else { Control::Continue }
    });
    watch.bar.finish_and_clear();
    outcome?;
    watch.failed?;
    if trainer.next_step() < total {
        complain(&format!(
            "stopped after step {} of {total}; the same command goes on from there",
            trainer.next_step()
        ));
        return Ok(ExitCode::from(130));
    }
    let model = output.join(MODEL_FILE);
    say(&format!(
        "the model: {0}\n  medparse segment picture.png -p \"…\" --model {0} --overlay",
        model.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells people how a run goes.
struct Watch {
    bar: ProgressBar,
    /// The bar over the pictures that the finished model is measured on.
    measuring: Option<ProgressBar>,
    /// Whether a line could not be written: nobody reads any more.
    failed: Result<()>,
}

impl Watch {
    fn tell(&mut self, event: Event<'_>) {
        let line = match event {
            Event::Step(report) => {
                self.bar.set_position(report.step + 1);
                self.bar.set_message(losses(report));
                let is_quiet = !std::io::stderr().is_terminal();
                let is_due = (report.step + 1).is_multiple_of(QUIET_STEPS);
                (is_quiet && is_due).then(|| {
                    format!(
                        "step {} of {}: {}",
                        report.step + 1,
                        report.total_steps,
                        losses(report)
                    )
                })
            }
            Event::Evaluated(validation, picture) => {
                Some(format!("{}\n  answers: {}", table(validation), picture.display()))
            }
            Event::Saved(_) => None,
            Event::Measuring(done, all) => {
                let bar = self.measuring.get_or_insert_with(|| progress::pictures(all));
                bar.set_message("measuring the model");
                bar.set_position(done as u64);
                None
            }
            Event::Finished(report) => {
                if let Some(bar) = self.measuring.take() {
                    bar.finish_and_clear();
                }
                report.map(Report::to_string)
            }
        };
        if let Some(line) = line {
            let told = self.bar.suspend(|| say(&line));
            self.failed = std::mem::replace(&mut self.failed, Ok(())).and(told);
        }
    }
}

fn losses(report: &StepReport) -> String {
    let terms = &report.terms;
    format!(
        "loss {:.3} (mask {:.3}, Dice {:.3}, similarity {:.3}, category {:.3}, presence {:.3})",
        terms.total, terms.mask, terms.dice, terms.similarity, terms.category, terms.presence
    )
}

fn table(validation: &Validation) -> String {
    let mut text = format!("validation: mean Dice {:.3}", validation.dice);
    let width = validation.targets.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, seen) in &validation.targets {
        text += &format!("\n  {name:width$}  {:.3}  of {} pictures", seen.dice, seen.n);
    }
    text
}
