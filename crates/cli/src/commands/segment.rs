//! `medparse segment`: pictures and phrases in; masks, overlays and numbers out.

pub mod inputs;
pub mod outputs;
mod report;
pub mod scan;
mod tiles;
mod volumes;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use medparse::parts::{Journal, JournalKey};
use medparse::tokenizer::{CONTEXT_LENGTH, Tokenizer};
use medparse::{Interaction, Model, Prompt, SegmentOptions};
use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, PageNotes, Target};
use medparse_imaging::{Layer, Mask, OpenOptions, PALETTE, View, Volume, open};

use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};
use crate::progress::Pictures;
use inputs::{Input, stem};
use outputs::Outputs;
use report::{PictureReport, Settings};
use scan::ScanOptions;
use volumes::VolumeReport;

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
    /// Draw the masks over each picture, with a legend; of a volume, over slices side by side.
    #[arg(long)]
    overlay: bool,
    /// Write what was found in these formats too: nifti, nrrd, dicom-seg, dicom-seg-fractional,
    /// rtstruct, coco, geojson, npz, html; several are separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    format: Vec<OutputFormat>,
    /// Of volumes: mix each slice's probabilities with its neighbours'.
    #[arg(long)]
    smooth: bool,
    /// Of volumes: keep each target's largest connected piece only.
    #[arg(long)]
    largest: bool,
    /// Of large pictures: cut into overlapping tiles of this side, in pixels, each shown to the
    /// model by itself.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..), conflicts_with = "um_per_px")]
    tile: Option<u32>,
    /// Of large pictures that state their resolution: tiles at this many µm a pixel of the model's.
    #[arg(long, value_name = "UM")]
    um_per_px: Option<f64>,
    /// Slices or tiles asked at the same time, each with the memory of a request; one for every
    /// four threads by default.
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
    #[command(flatten)]
    scan: ScanOptions,
    /// Print one line of JSON per picture instead of a table.
    #[arg(long)]
    json: bool,
    /// Ask each phrase for itself instead of all together.
    #[arg(long)]
    independent: bool,
    /// A pixel belongs to a mask where its probability is greater than this.
    #[arg(long, default_value_t = 0.5, value_parser = probability, value_name = "P")]
    threshold: f32,
    /// Empty the mask where the object is there with a probability below this; only for models
    /// that estimate it.
    #[arg(long, value_parser = probability, value_name = "P")]
    presence_threshold: Option<f32>,
    #[command(flatten)]
    model: ModelOptions,
}

/// Reads a probability.
pub fn probability(text: &str) -> Result<f32, String> {
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
    let options = SegmentOptions {
        interaction,
        threshold: arguments.threshold,
        presence_threshold: arguments.presence_threshold,
    };
    let settings = Settings {
        model: model.card().name.clone(),
        device: arguments.model.device().to_string(),
        precision: model.precision().name(),
        interaction,
        threshold: arguments.threshold,
        presence_threshold: arguments.presence_threshold,
    };
    let warnings = phrase_warnings(&model, &prompts);
    for warning in &warnings {
        complain(&format!("warning: {warning}"));
    }
    let lines = Pictures::new(inputs.len());
    let run = Run {
        arguments,
        model: &model,
        prompts: &prompts,
        options,
        settings,
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

/// Everything that is the same for all pictures of a run.
struct Run<'a> {
    arguments: &'a Arguments,
    model: &'a Model,
    prompts: &'a [Prompt],
    options: SegmentOptions,
    settings: Settings,
    outputs: &'a Outputs,
    /// What is to be said of the phrases.
    warnings: Vec<String>,
    lines: &'a Pictures,
}

/// What came of one input.
enum Report {
    Picture(PictureReport),
    Volume(VolumeReport),
}

impl Report {
    fn table(&self) -> String {
        match self {
            Self::Picture(report) => report.table(),
            Self::Volume(report) => report.table(),
        }
    }

    fn say_json(&self) -> Result<()> {
        match self {
            Self::Picture(report) => say_json(report),
            Self::Volume(report) => say_json(report),
        }
    }
}

impl Run<'_> {
    fn input(&self, input: &Input) -> Result<Report> {
        if self.is_tiled() {
            return self.tiled(input).map(Report::Volume);
        }
        let series = self.arguments.scan.series.clone();
        let volume = open(&input.path, &OpenOptions { series, ..OpenOptions::default() })?;
        self.check_formats(&volume)?;
        let warnings = self.warnings_of(input, &volume);
        if volume.is_flat() {
            self.picture(input, &volume, warnings).map(Report::Picture)
        } else {
            self.volume(input, &volume, warnings).map(Report::Volume)
        }
    }

    /// Refuses formats that the input cannot be written in, before anything is computed.
    fn check_formats(&self, volume: &Volume) -> Result<()> {
        Ok(self.arguments.format.iter().try_for_each(|format| format.check(volume))?)
    }

    /// What is to be said of the phrases and of how the file was read; the latter is said.
    fn warnings_of(&self, input: &Input, volume: &Volume) -> Vec<String> {
        self.lines.suspend(|| {
            for warning in volume.warnings() {
                complain(&format!("warning: {}: {warning}", input.path.display()));
            }
        });
        self.warnings.iter().chain(volume.warnings()).cloned().collect()
    }

    fn picture(
        &self,
        input: &Input,
        volume: &Volume,
        warnings: Vec<String>,
    ) -> Result<PictureReport> {
        let view = self.arguments.scan.view(volume);
        let picture = volume.picture(&view, 0, &self.arguments.scan.window)?;
        let started = Instant::now();
        let answers = self.model.segment_with(&picture, self.prompts, &self.options)?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(!answers.is_empty(), "{}: the model gave no answer", input.path.display());
        let stored = View::stored(volume.dimensions());
        let masks: Vec<Mask> = answers
            .iter()
            .map(|answer| turned_back(&answer.mask, &view, volume))
            .collect::<Result<_, _>>()?;
        let paths = self.outputs.write_masks(input, &masks)?;
        let overlay = if self.arguments.overlay {
            let picture = volume.picture(&stored, 0, &self.arguments.scan.window)?;
            let layers: Vec<Layer> = answers
                .iter()
                .zip(&masks)
                .map(|(answer, mask)| {
                    let layer = Layer::new(&answer.prompt, mask);
                    match answer.mean_probability {
                        Some(p) => layer.with_note(format!("{} · p {p:.2}", answer.category)),
                        None => layer,
                    }
                })
                .collect();
            Some(self.outputs.write_overlay(input, &picture, &layers)?)
        } else {
            None
        };
        let mut files = Vec::new();
        if !self.arguments.format.is_empty() {
            let colors = PALETTE.iter().cycle();
            let targets = answers.iter().zip(&masks).zip(colors).map(|((answer, mask), color)| {
                let bytes: Vec<u8> = answer
                    .probability
                    .values()
                    .iter()
                    .map(|probability| (probability * 255.0).round() as u8)
                    .collect();
                let mut probabilities = vec![0; bytes.len()];
                view.put_plane(&bytes, 0, &mut probabilities);
                Target {
                    label: answer.prompt.clone(),
                    category: (answer.area > 0).then(|| answer.category.to_string()),
                    color: *color,
                    voxels: mask.pixels().to_vec(),
                    probabilities: Some(probabilities),
                }
            });
            let findings = Findings::new(volume, targets.collect())?;
            let export = self.export_options(input, Some(view), &warnings);
            for &format in &self.arguments.format {
                let bytes = format.encode(&findings, &export)?;
                files.push(self.outputs.write_format(input, format, &bytes)?);
            }
        }
        let report = PictureReport::new(report::Parts {
            image: &input.path,
            spacing: volume.pixel_spacing(),
            settings: &self.settings,
            seconds,
            answers: &answers,
            masks: &masks,
            paths: &paths,
            overlay,
            files,
            warnings,
        });
        self.outputs.write_report(input, &report)?;
        Ok(report)
    }

    /// What outputs need beside the findings.
    fn export_options(
        &self,
        input: &Input,
        view: Option<View>,
        warnings: &[String],
    ) -> ExportOptions {
        let settings = [
            ("Model", self.settings.model.clone()),
            ("Device", self.settings.device.clone()),
            ("Precision", self.settings.precision.to_owned()),
            ("Threshold", self.settings.threshold.to_string()),
        ];
        ExportOptions {
            name: stem(&input.path),
            tone: self.arguments.scan.window.clone(),
            view,
            notes: PageNotes {
                title: "medparse".into(),
                settings: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
                warnings: warnings.to_vec(),
            },
        }
    }

    /// The journal of an input's parts.
    fn journal(&self, input: &Input, key: impl FnOnce(JournalKey) -> [u8; 32]) -> Result<Journal> {
        let salt = self.arguments.model.identity();
        let begun = JournalKey::new(self.model, self.prompts, &self.options, &salt);
        let journal = Journal::open(&self.outputs.partial(input)?, key(begun))
            .with_context(|| input.path.display().to_string())?;
        self.outputs.discard_unfinished(input);
        Ok(journal)
    }

    /// How many parts are asked at the same time.
    fn at_once(&self) -> NonZeroUsize {
        let share = NonZeroUsize::new(rayon::current_num_threads() / 4);
        self.arguments.parallel.or(share).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Brings a mask from the turned picture to the file's own pixels.
fn turned_back(mask: &Mask, view: &View, volume: &Volume) -> Result<Mask, medparse_imaging::Error> {
    let [width, height, _] = volume.dimensions();
    let mut pixels = vec![0; width * height];
    view.put_plane(mask.pixels(), 0, &mut pixels);
    Mask::from_pixels(width as u32, height as u32, pixels)
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
