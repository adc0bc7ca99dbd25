//! One input after another through the model, and what was found of each into files.

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use medparse::parts::{Journal, JournalKey};
use medparse::{Model, Prompt, SegmentOptions};
use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, PageNotes, Target};
use medparse_imaging::{Layer, Mask, PALETTE, View, Volume};

use super::inputs::{Input, stem};
use super::options::WorkOptions;
use super::outputs::Outputs;
use super::report::{self, PictureReport, Settings};
use super::volume_report::VolumeReport;
use crate::output::{complain, say_json};
use crate::progress::Pictures;

/// Everything that is the same for all pictures of a run.
pub struct Run<'a> {
    pub work: &'a WorkOptions,
    pub model: &'a Model,
    /// Tells the model from another of the same name.
    pub identity: &'a str,
    pub prompts: &'a [Prompt],
    pub options: SegmentOptions,
    pub settings: Settings,
    pub outputs: &'a Outputs,
    /// What is to be said of the phrases.
    pub warnings: Vec<String>,
    pub lines: &'a Pictures,
}

/// What came of one input.
pub enum Report {
    Picture(PictureReport),
    Volume(VolumeReport),
}

impl Report {
    /// The lines for a person.
    pub fn table(&self) -> String {
        match self {
            Self::Picture(report) => report.table(),
            Self::Volume(report) => report.table(),
        }
    }

    /// Prints one line of JSON.
    pub fn say_json(&self) -> Result<()> {
        match self {
            Self::Picture(report) => say_json(report),
            Self::Volume(report) => say_json(report),
        }
    }
}

impl Run<'_> {
    /// Asks a file, or the folder of a series, and writes what was found.
    pub fn input(&self, input: &Input) -> Result<Report> {
        if self.is_tiled() {
            return self.tiled(input).map(Report::Volume);
        }
        self.opened(input, &self.work.scan.open(&input.path)?)
    }

    /// Asks what was read already, and writes what was found.
    pub fn opened(&self, input: &Input, volume: &Volume) -> Result<Report> {
        self.check_formats(input, volume)?;
        let warnings = self.warnings_of(input, volume);
        if volume.is_flat() {
            self.picture(input, volume, warnings).map(Report::Picture)
        } else {
            self.volume(input, volume, warnings).map(Report::Volume)
        }
    }

    /// Refuses formats that the input cannot be written in, and results in an input's place, before anything is computed.
    pub(super) fn check_formats(&self, input: &Input, volume: &Volume) -> Result<()> {
        for format in self.formats(volume) {
            format.check(volume)?;
            self.outputs.spare(input, format.ending())?;
        }
        self.outputs.spare_others(input)
    }

    /// The files of findings: what was asked for; of volumes, where nothing was, a label map where the voxels have a
    /// place, and arrays where not.
    pub(super) fn formats(&self, volume: &Volume) -> Vec<OutputFormat> {
        match (&self.work.format[..], volume.grid()) {
            ([], _) if volume.is_flat() => Vec::new(),
            ([], Some(_)) => vec![OutputFormat::Nifti],
            ([], None) => vec![OutputFormat::Npz],
            _ => self.work.files(),
        }
    }

    /// What is to be said of the phrases and of the file; the latter is said.
    pub(super) fn warnings_of(&self, input: &Input, volume: &Volume) -> Vec<String> {
        let card = self.model.card();
        let strange = self.prompts.iter().zip(1..).filter_map(|(prompt, phrase)| {
            let elsewhere = card.elsewhere(prompt.as_str(), volume.modality()?)?;
            Some(format!("phrase {phrase} {elsewhere}"))
        });
        let own: Vec<String> = strange.chain(volume.warnings().iter().cloned()).collect();
        self.lines.suspend(|| {
            for warning in &own {
                complain(&format!("warning: {}: {warning}", input.path.display()));
            }
        });
        self.warnings.iter().cloned().chain(own).collect()
    }

    fn picture(
        &self,
        input: &Input,
        volume: &Volume,
        warnings: Vec<String>,
    ) -> Result<PictureReport> {
        let view = self.work.scan.view(volume);
        let picture = volume.picture(&view, 0, &self.work.scan.window)?;
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
        let overlay = if self.work.draws() {
            let picture = volume.picture(&stored, 0, &self.work.scan.window)?;
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
        let formats = self.formats(volume);
        if !formats.is_empty() {
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
            for format in formats {
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
    pub(super) fn export_options(
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
            tone: self.work.scan.window.clone(),
            view,
            notes: PageNotes {
                title: stem(&input.path),
                settings: settings.map(|(name, value)| (name.to_owned(), value)).to_vec(),
                warnings: warnings.to_vec(),
            },
        }
    }

    /// The journal of an input's parts.
    pub(super) fn journal(
        &self,
        input: &Input,
        key: impl FnOnce(JournalKey) -> [u8; 32],
    ) -> Result<Journal> {
        let begun = JournalKey::new(self.model, self.prompts, &self.options, self.identity);
        let journal = Journal::open(&self.outputs.partial(input)?, key(begun))
            .with_context(|| input.path.display().to_string())?;
        self.outputs.discard_unfinished(input);
        Ok(journal)
    }

    /// How many parts are asked at the same time.
    pub(super) fn at_once(&self) -> NonZeroUsize {
        let share = NonZeroUsize::new(rayon::current_num_threads() / 4);
        self.work.parallel.or(share).unwrap_or(NonZeroUsize::MIN)
    }
}

/// Brings a mask from the turned picture to the file's own pixels.
pub fn turned_back(
    mask: &Mask,
    view: &View,
    volume: &Volume,
) -> Result<Mask, medparse_imaging::Error> {
    let [width, height, _] = volume.dimensions();
    let mut pixels = vec![0; width * height];
    view.put_plane(mask.pixels(), 0, &mut pixels);
    Mask::from_pixels(width as u32, height as u32, pixels)
}
