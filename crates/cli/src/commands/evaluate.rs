//! `medparse evaluate`: how good a model is on labelled pictures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use medparse::Interaction;
use medparse_train::dataset::{Choice, Dataset, Part, Split};
use medparse_train::evaluate::{
    AbsentCounts, Baseline, Bootstrap, Case, EvaluateOptions, Report, Subject, evaluate,
};
use medparse_train::sheet::{Tile, contact_sheet};
use serde::Serialize;

use super::segment::options::probability;
use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};
use crate::progress;

/// Tiles on a contact sheet, at most.
const TILES: usize = 24;

/// Worst answers that the JSON lists, at most.
const LISTED: usize = 50;

/// Measure a model on labelled pictures.
///
/// For each target and modality: Dice, IoU and surface distances with 95 % intervals, beside a
/// guess without looking; then whether the answers follow the words, whether the category is
/// right, and how well the model tells what is there from what is not.
#[derive(Args)]
#[command(
    after_long_help = "A dataset is a folder with an index.json, or with BiomedParse's train/, train_mask/, test/ and\ntest_mask/.\n\nExamples:\n  medparse evaluate images/ --model run/model.safetensors --training train/ --sheet worst.png\n  medparse evaluate train/ --split validation --model run/model.safetensors --json > figures.json\n\nA collection that marks a target in three pictures or more is taken to mark it wherever it is;\n--partial names those that do not.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// The labelled pictures.
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Which of them; those of the test part by default, all where there is none.
    #[arg(long, value_name = "PART")]
    split: Option<SplitArgument>,
    /// The dataset whose mean masks are the trivial baseline; the training part of DATASET by
    /// default, where that is not what is measured.
    #[arg(long, value_name = "DATASET")]
    training: Option<PathBuf>,
    /// Only this collection; may be given several times.
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
    /// Pictures of each collection, at most, evenly spread.
    #[arg(long, value_name = "N")]
    at_most: Option<usize>,
    /// Ask for all targets of a picture together instead of each for itself.
    #[arg(long)]
    together: bool,
    /// Empty a mask where the object is there with a probability below this.
    #[arg(long, value_parser = probability, value_name = "P")]
    presence_threshold: Option<f32>,
    /// Absent things of the picture's own modality that are asked for in each picture, at most.
    #[arg(long, default_value_t = 3, value_name = "N")]
    absent: usize,
    /// A collection that does not mark everything that it names wherever it is.
    #[arg(long, value_name = "NAME")]
    partial: Vec<String>,
    /// The share of the training part that was set aside for validation.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    validation_fraction: f64,
    /// The training's seed, which the validation part follows from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Resamples behind each interval.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Draw the worst answers of each target on one sheet (PNG).
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Clone, Copy, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum SplitArgument {
    /// Every picture.
    All,
    /// What is learnt from.
    Train,
    /// What was set aside while learning.
    Validation,
    /// The test part.
    Test,
}

impl SplitArgument {
    fn choice(self) -> Choice {
        match self {
            Self::All => Choice::All,
            Self::Train => Choice::Training,
            Self::Validation => Choice::Validation,
            Self::Test => Choice::Test,
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    dataset: &'a PathBuf,
    split: SplitArgument,
    /// The folder whose mean masks are the trivial baseline; null where there is none.
    baseline: Option<&'a PathBuf>,
    #[serde(flatten)]
    report: &'a Report,
    /// The worst answers of each target.
    worst: Vec<WorstAnswer>,
}

#[derive(Serialize)]
struct WorstAnswer {
    image: String,
    target: String,
    dice: f64,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let dataset = Dataset::open(&arguments.dataset)?;
    let split = split_of(arguments, &dataset);
    let pictures = pictures(arguments, &dataset, split)?;
    let (baseline, baseline_from) = baseline(arguments, &dataset, split)?;
    let model = arguments.model.load()?;
    let options = EvaluateOptions {
        interaction: if arguments.together { Interaction::Joint } else { Interaction::Independent },
        absent: AbsentCounts {
            same_modality: arguments.absent,
            ..EvaluateOptions::default().absent
        },
        bootstrap: Bootstrap { resamples: arguments.resamples, seed: arguments.seed },
        presence_threshold: arguments.presence_threshold,
        partial: arguments.partial.iter().cloned().collect(),
        ..EvaluateOptions::default()
    };
    let subject =
        Subject { model: &model, dataset: &dataset, pictures: &pictures, baseline: &baseline };
    let bar = progress::pictures(pictures.len());
    let found = evaluate(&subject, &options, &mut |done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let found = found?;
    if let Some(path) = &arguments.sheet {
        draw(&dataset, &found.worst, path)?;
    }
    if arguments.json {
        let worst = found.worst.iter().take(LISTED).map(|case| {
            let sample = &dataset.samples[case.sample];
            let target = sample.targets[case.target].name.clone();
            WorstAnswer { image: sample.name(), target, dice: case.dice }
        });
        say_json(&Output {
            dataset: &arguments.dataset,
            split,
            baseline: baseline_from,
            report: &found.report,
            worst: worst.collect(),
        })?;
    } else {
        say(found.report.to_string().trim_end())?;
    }
    if let Some(path) = &arguments.sheet {
        complain(&format!("the worst answers: {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn split_of(arguments: &Arguments, dataset: &Dataset) -> SplitArgument {
    let has_test = dataset.samples.iter().any(|sample| sample.part == Part::Test);
    let default = if has_test { SplitArgument::Test } else { SplitArgument::All };
    arguments.split.unwrap_or(default)
}

/// The pictures to ask.
fn pictures(arguments: &Arguments, dataset: &Dataset, split: SplitArgument) -> Result<Vec<usize>> {
    let known = dataset.sets();
    for name in arguments.sets.iter().chain(&arguments.partial) {
        if !known.contains(&name.as_str()) {
            bail!("no collection is called {name:?}; expected one of {}", known.join(", "));
        }
    }
    let wanted: BTreeSet<&str> = arguments.sets.iter().map(String::as_str).collect();
    let parts = Split::new(dataset, arguments.validation_fraction, arguments.seed);
    let mut pictures = parts.pictures(dataset, split.choice());
    pictures.retain(|&index| wanted.is_empty() || wanted.contains(&*dataset.samples[index].set));
    let mut chosen = dataset.spread(&pictures, arguments.at_most.unwrap_or(usize::MAX));
    chosen.sort_unstable();
    Ok(chosen)
}

/// The guess without looking, and where it comes from.
fn baseline<'a>(
    arguments: &'a Arguments,
    dataset: &Dataset,
    split: SplitArgument,
) -> Result<(Baseline, Option<&'a PathBuf>)> {
    if let Some(path) = &arguments.training {
        let training = Dataset::open(path)?;
        let parts = Split::new(&training, 0.0, arguments.seed);
        return Ok((Baseline::of(&training, &parts.training)?, Some(path)));
    }
    if matches!(split, SplitArgument::Validation | SplitArgument::Test) {
        let parts = Split::new(dataset, arguments.validation_fraction, arguments.seed);
        return Ok((Baseline::of(dataset, &parts.training)?, Some(&arguments.dataset)));
    }
    Ok((Baseline::default(), None))
}

fn draw(dataset: &Dataset, worst: &[Case], path: &Path) -> Result<()> {
    let tiles: Result<Vec<Tile>> = worst
        .iter()
        .take(TILES)
        .map(|case| {
            let sample = &dataset.samples[case.sample];
            let mut loaded = sample.load()?;
            Ok(Tile {
                picture: loaded.picture,
                target: sample.targets[case.target].name.clone(),
                truth: loaded.masks.swap_remove(case.target),
                answer: case.mask.clone(),
                dice: case.dice,
            })
        })
        .collect();
    contact_sheet(&tiles?)?
        .save_png(path)
        .with_context(|| format!("cannot write the contact sheet {}", path.display()))
}
