//! `medparse recognize`: everything that a picture holds, without a phrase.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use medparse::modalities::Kind;
use medparse::recognition::{
    Instance, Recognised, RecognitionOptions, Separation, TargetDistributions, instances, recognise,
};
use medparse::{Model, Prompt};
use medparse_imaging::write::label_png;
use medparse_imaging::{Layer, Mask, grouped};
use serde::Serialize;

use super::segment::inputs::{Input, find};
use super::segment::options::probability;
use super::segment::outputs::Outputs;
use super::segment::phrase_warnings;
use super::segment::report::BoxReport;
use super::segment::scan::ScanOptions;
use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};
use crate::progress::Pictures;

/// Find every object that a kind of picture can hold, without a phrase.
///
/// Asks for each target of the kind by itself, drops empty and implausible masks and those that lie
/// on a better one, and gives every pixel to one object at most. Writes one mask PNG per object and
/// a JSON file with the numbers.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse recognize ct.dcm --type CT-Abdomen --window abdomen --overlay\n  medparse recognize slide.png --type pathology --instances --json\n  medparse recognize heart.nii.gz --type MRI-Cardiac --slice 40 --distributions target_dist.json\n\nKinds are those that the model was trained on (medparse targets), by modality and by modality-site,\nand BiomedParse's; one that does not exist is answered with the list.\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// Pictures, or scans of which a slice is looked at.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// What kind of picture it is, such as CT-Abdomen or Pathology.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// Folder for the results, made if it is not there.
    #[arg(short, long, default_value = "medparse-output", value_name = "DIR")]
    output: PathBuf,
    /// Of a volume, which slice, from 0; the middle one where not given.
    #[arg(long, value_name = "N")]
    slice: Option<usize>,
    /// BiomedParse's target_dist.json: masks are held against what they looked like in training.
    #[arg(long, value_name = "JSON")]
    distributions: Option<PathBuf>,
    /// Drop masks whose p-value is below this; needs --distributions.
    #[arg(long, default_value_t = 0.05, value_parser = probability, value_name = "P", requires = "distributions")]
    p_value: f32,
    /// Drop objects that are there with a probability below this; only for models that estimate it.
    #[arg(long, value_parser = probability, value_name = "P")]
    presence_threshold: Option<f32>,
    /// Count single objects, touching ones told apart by their shape, and write their numbers as a
    /// 16-bit PNG.
    #[arg(long)]
    instances: bool,
    /// With --instances: deep places nearer than this, in pixels, are one object.
    #[arg(long, default_value_t = 8.0, value_name = "PIXELS")]
    least_distance: f32,
    /// Draw what was found over each picture, with a legend.
    #[arg(long)]
    overlay: bool,
    /// Print one line of JSON per picture instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    scan: ScanOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// The JSON of one picture.
#[derive(Serialize)]
struct PictureReport {
    image: PathBuf,
    #[serde(rename = "type")]
    kind: String,
    model: String,
    width: u32,
    height: u32,
    /// Of a volume, the slice.
    slice: Option<usize>,
    objects: Vec<ObjectReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<PathBuf>,
    warnings: Vec<String>,
}

/// The JSON of one object.
#[derive(Serialize)]
struct ObjectReport {
    target: String,
    category: String,
    area_px: u64,
    /// Null where the pixels have no size.
    area_mm2: Option<f64>,
    #[serde(rename = "box")]
    bounding_box: Option<BoxReport>,
    mean_probability: Option<f64>,
    /// Null where no distribution of the target is known.
    p_value: Option<f64>,
    presence: Option<f64>,
    mask: PathBuf,
    /// Null where they were not asked for.
    instances: Option<Vec<InstanceReport>>,
    /// The number of each pixel's instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<PathBuf>,
}

/// The JSON of one instance.
#[derive(Serialize)]
struct InstanceReport {
    label: u32,
    area_px: u64,
    #[serde(rename = "box")]
    bounding_box: BoxReport,
    centroid: (f64, f64),
}

/// Runs the verb; fails where any picture failed, after all others are done.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let distributions = arguments.distributions.as_ref().map(|path| {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        TargetDistributions::from_json(&bytes).with_context(|| path.display().to_string())
    });
    let options = RecognitionOptions {
        distributions: distributions.transpose()?,
        least_plausibility: arguments.p_value.into(),
        least_presence: arguments.presence_threshold,
    };
    let inputs = find(&arguments.images)?;
    let model = arguments.model.load()?;
    let kind = Kind::named(&arguments.kind, model.card()).ok_or_else(|| {
        let names: Vec<String> =
            Kind::all(model.card()).into_iter().map(|kind| kind.name).collect();
        anyhow!(
            "--type: {:?} is no kind of picture that can be asked for; expected one of {}",
            arguments.kind,
            names.join(", ")
        )
    })?;
    if let Some(known) = &options.distributions
        && !kind.targets.iter().any(|target| known.get(&kind.name, target).is_some())
    {
        let names: Vec<&str> = known.targets().map(|(modality, _)| modality).collect();
        complain(&format!(
            "warning: --distributions holds nothing of {}'s targets, so there are no p-values; it is about {}",
            kind.name,
            names.join(", ")
        ));
    }
    let prompts: Vec<Prompt> =
        kind.targets.iter().map(|target| Prompt::new(target)).collect::<Result<_, _>>()?;
    let outputs = Outputs::prepare(&arguments.output, &inputs, &prompts)?;
    let warnings = phrase_warnings(&model, &prompts);
    if warnings.len() == prompts.len() {
        complain(&format!(
            "warning: {} was not trained to find any target of {}",
            model.card().name,
            kind.name
        ));
    }
    let lines = Pictures::new(inputs.len());
    let run = Run {
        arguments,
        model: &model,
        kind: &kind,
        options: &options,
        outputs: &outputs,
        lines: &lines,
    };
    let mut failed = 0;
    for input in &inputs {
        lines.bar.set_message(input.path.display().to_string());
        let outcome = run.picture(input);
        lines.suspend(|| match outcome {
            Ok(report) if arguments.json => say_json(&report),
            Ok(report) => say(&report.table()),
            Err(error) => {
                failed += 1;
                complain(&format!("error: {error:#}"));
                Ok(())
            }
        })?;
        lines.bar.inc(1);
    }
    lines.bar.finish_and_clear();
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is the same for all pictures of a run.
struct Run<'a> {
    arguments: &'a Arguments,
    model: &'a Model,
    kind: &'a Kind,
    options: &'a RecognitionOptions,
    outputs: &'a Outputs,
    lines: &'a Pictures,
}

impl Run<'_> {
    fn picture(&self, input: &Input) -> Result<PictureReport> {
        let Arguments { scan, slice, .. } = self.arguments;
        let volume = scan.open(&input.path)?;
        for warning in volume.warnings() {
            let line = format!("warning: {}: {warning}", input.path.display());
            self.lines.suspend(|| complain(&line));
        }
        let view = scan.view(&volume);
        let slice = slice.unwrap_or(view.dimensions()[2] / 2);
        let picture = volume.picture(&view, slice, &scan.window)?;
        let found = recognise(self.model, &picture, self.kind, self.options)?;
        // As it was before `--flip` and `--rotate`, which are undone in everything that is written.
        let picture = volume.picture(&scan.upright(&volume), slice, &scan.window)?;

        let pixel = picture.geometry().map(|geometry| geometry.spacing[0] * geometry.spacing[1]);
        let mut objects = Vec::new();
        let mut drawn = Vec::new();
        for object in &found {
            let (report, mask) = self.object(input, object, pixel)?;
            objects.push(report);
            drawn.push(mask);
        }
        let overlay = if self.arguments.overlay {
            let layers = objects.iter().zip(&drawn).map(|(object, mask)| {
                let layer = Layer::new(&object.target, mask);
                match &object.instances {
                    Some(instances) => {
                        layer.with_extent(format!("{} objects", grouped(instances.len() as u64)))
                    }
                    None => layer,
                }
            });
            let layers: Vec<Layer> = layers.collect();
            Some(self.outputs.write_overlay(input, &picture, &layers)?)
        } else {
            None
        };
        let report = PictureReport {
            image: input.path.clone(),
            kind: self.kind.name.clone(),
            model: self.model.card().name.clone(),
            width: picture.width(),
            height: picture.height(),
            slice: (!volume.is_flat()).then_some(slice),
            objects,
            overlay,
            warnings: volume.warnings().to_vec(),
        };
        self.outputs.write_report(input, &report)?;
        Ok(report)
    }

    /// Writes and describes one object; with instances, the mask that is drawn is parted between them.
    fn object(
        &self,
        input: &Input,
        object: &Recognised,
        pixel: Option<f64>,
    ) -> Result<(ObjectReport, Mask)> {
        let target = &object.answer.prompt;
        let index = self.kind.targets.iter().position(|known| known == target).unwrap_or(0);
        let own = self.arguments.scan.turn().back(&object.own)?;
        let area = own.area();
        let mut report = ObjectReport {
            target: target.clone(),
            category: object.answer.category.to_string(),
            area_px: area,
            area_mm2: pixel.map(|pixel| pixel * area as f64),
            bounding_box: own.bounding_box().map(BoxReport::from),
            mean_probability: object.answer.mean_probability,
            p_value: object.plausibility,
            presence: object.answer.presence,
            mask: self.outputs.write_mask(input, index, &own)?,
            instances: None,
            labels: None,
        };
        if !self.arguments.instances {
            return Ok((report, own));
        }
        let least_distance = self.arguments.least_distance;
        let (counted, labels) = instances(&own, Separation::Watershed { least_distance });
        let (width, height) = own.dimensions();
        let png = label_png(width, height, &labels)?;
        report.labels = Some(self.outputs.write_labels(input, index, &png)?);
        report.instances = Some(counted.into_iter().map(InstanceReport::from).collect());
        Ok((report, Mask::from_pixels(width, height, parted(&labels, width as usize))?))
    }
}

impl From<Instance> for InstanceReport {
    fn from(instance: Instance) -> Self {
        Self {
            label: instance.label,
            area_px: instance.area,
            bounding_box: instance.bounding_box.into(),
            centroid: instance.centroid,
        }
    }
}

/// A mask of labelled objects with a gap of one pixel where two of them touch.
fn parted(labels: &[u32], width: usize) -> Vec<u8> {
    let differs = |at: usize, other: usize| {
        let other = labels.get(other).copied().unwrap_or(0);
        other != 0 && other != labels[at]
    };
    let is_border =
        |at: usize| (at % width + 1 < width && differs(at, at + 1)) || differs(at, at + width);
    (0..labels.len()).map(|at| u8::from(labels[at] != 0 && !is_border(at))).collect()
}

impl PictureReport {
    /// The lines for a person.
    fn table(&self) -> String {
        let mut text = format!("{}  {} × {}", self.image.display(), self.width, self.height);
        if let Some(slice) = self.slice {
            let _ = write!(text, "  slice {slice}");
        }
        if self.objects.is_empty() {
            text.push_str("\n  nothing was found");
        }
        let width = |of: fn(&ObjectReport) -> &str| {
            self.objects.iter().map(|object| of(object).chars().count()).max().unwrap_or(0)
        };
        let (targets, categories) = (width(|o| &o.target), width(|o| &o.category));
        for object in &self.objects {
            let _ = write!(
                text,
                "\n  {:targets$}  {:categories$}  {:>12} px",
                object.target,
                object.category,
                grouped(object.area_px)
            );
            if let Some(p) = object.mean_probability {
                let _ = write!(text, "  p {p:.2}");
            }
            if let Some(p) = object.p_value {
                let _ = write!(text, "  p-value {p:.3}");
            }
            if let Some(presence) = object.presence {
                let _ = write!(text, "  presence {presence:.2}");
            }
            if let Some(BoxReport { x, y, width, height }) = object.bounding_box {
                let _ = write!(text, "  box {x},{y} {width}×{height}");
            }
            if let Some(instances) = &object.instances {
                let _ = write!(text, "  {} objects", grouped(instances.len() as u64));
            }
            let _ = write!(text, "  {}", object.mask.display());
        }
        if let Some(overlay) = &self.overlay {
            let _ = write!(text, "\n  overlay: {}", overlay.display());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn objects_that_touch_are_drawn_apart() {
        let labels = [1, 1, 2, 0, 1, 2];
        assert_eq!(parted(&labels, 3), [1, 0, 1, 0, 0, 1]);
        assert_eq!(parted(&[1, 1, 1, 1], 2), [1; 4]);
    }
}
