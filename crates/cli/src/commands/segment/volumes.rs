//! Volumes through `medparse segment`: every slice asked, label maps out.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use medparse::parts::{Found, Progress, Work};
use medparse::volume::{Keep, Smoothing, VolumeOptions, segment_volume};
use medparse_imaging::write::{Findings, Target, sheet};
use medparse_imaging::{Volume, grouped};
use serde::Serialize;

use super::inputs::Input;
use super::report::Settings;
use super::run::Run;
use crate::output::complain;
use crate::progress;

/// The JSON of one volume, or of a picture asked in tiles.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeReport {
    pub image: PathBuf,
    pub columns: usize,
    pub rows: usize,
    pub slices: usize,
    /// mm between columns, rows and slices; null where the file does not say.
    pub spacing_mm: Option<Vec<f64>>,
    pub plane: String,
    #[serde(flatten)]
    pub settings: Settings,
    /// Of computing, this run's only.
    pub seconds: f64,
    pub answers: Vec<TargetReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// The JSON of one phrase.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    pub prompt: String,
    /// Null where nothing was found.
    pub category: Option<String>,
    /// Its number in label maps and segmentations.
    pub label: usize,
    pub voxels: u64,
    /// Null where the voxels have no size, and of pictures.
    pub volume_ml: Option<f64>,
    /// Null where the pixels have no size, and of volumes.
    pub area_mm2: Option<f64>,
    /// In the file's own voxels, the first corner and the size; null where nothing was found.
    #[serde(rename = "box")]
    pub bounding_box: Option<BoxReport>,
    /// How probable it is that the object is in the part where that is most probable; null for models that do not say.
    pub presence: Option<f64>,
}

/// Where something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BoxReport {
    pub first: [usize; 3],
    pub size: [usize; 3],
}

impl BoxReport {
    /// The smallest box around all voxels that are not 0.
    fn of(voxels: &[u8], [columns, rows, _]: [usize; 3]) -> Option<Self> {
        let mut bounds: Option<[[usize; 2]; 3]> = None;
        for (line, values) in voxels.chunks_exact(columns).enumerate() {
            let Some(first) = values.iter().position(|value| *value != 0) else { continue };
            let last = values.iter().rposition(|value| *value != 0).unwrap_or(first);
            let found = [[first, last], [line % rows; 2], [line / rows; 2]];
            bounds = Some(match bounds {
                None => found,
                Some(known) => std::array::from_fn(|axis| {
                    [known[axis][0].min(found[axis][0]), known[axis][1].max(found[axis][1])]
                }),
            });
        }
        bounds.map(|bounds| Self {
            first: bounds.map(|[first, _]| first),
            size: bounds.map(|[first, last]| last + 1 - first),
        })
    }
}

impl TargetReport {
    /// The reports of findings, in their order.
    pub fn all(findings: &Findings, volume: &Volume, presence: &[Option<f64>]) -> Vec<Self> {
        let pixel = volume.pixel_spacing().map(|[along, down]| along * down);
        let report = |(index, target): (usize, &Target)| {
            let voxels = target.count();
            Self {
                prompt: target.label.clone(),
                category: target.category.clone(),
                label: index + 1,
                voxels,
                volume_ml: findings.millilitres(target).filter(|_| !volume.is_flat()),
                area_mm2: pixel.filter(|_| volume.is_flat()).map(|pixel| voxels as f64 * pixel),
                bounding_box: BoxReport::of(&target.voxels, volume.dimensions()),
                presence: presence.get(index).copied().flatten(),
            }
        };
        findings.targets().iter().enumerate().map(report).collect()
    }
}

impl VolumeReport {
    /// The lines for a person.
    pub fn table(&self) -> String {
        let slices = if self.slices > 1 { format!(" × {}", self.slices) } else { String::new() };
        let mut text = format!(
            "{}  {} × {}{slices}, {}  {:.1} s",
            self.image.display(),
            self.columns,
            self.rows,
            self.plane,
            self.seconds
        );
        for answer in &self.answers {
            text.push_str(&format!("\n  {}  {}", answer.label, answer.prompt));
            if answer.voxels == 0 {
                text.push_str("  not found");
                continue;
            }
            let unit = if self.slices > 1 { "voxels" } else { "px" };
            text.push_str(&format!("  {} {unit}", grouped(answer.voxels)));
            if let Some(volume) = answer.volume_ml {
                text.push_str(&format!("  {volume:.2} mL"));
            }
            if let Some(area) = answer.area_mm2 {
                text.push_str(&format!("  {area:.2} mm²"));
            }
        }
        if let Some(overlay) = &self.overlay {
            text.push_str(&format!("\n  overlay: {}", overlay.display()));
        }
        for file in &self.files {
            text.push_str(&format!("\n  {}", file.display()));
        }
        text
    }
}

impl Run<'_> {
    /// Asks every slice and writes the formats that were asked for.
    pub fn volume(
        &self,
        input: &Input,
        volume: &Volume,
        warnings: Vec<String>,
    ) -> Result<VolumeReport> {
        let started = Instant::now();
        let view = self.work.scan.view(volume);
        let options = VolumeOptions {
            view,
            tone: self.work.scan.window.clone(),
            segment: self.options,
            smoothing: if self.work.smooth { Smoothing::Neighbours } else { Smoothing::None },
            keep: if self.work.largest { Keep::Largest } else { Keep::All },
        };
        let mut journal = self.journal(input, |key| options.key(volume, key))?;
        let [.., slices] = view.dimensions();
        let bar = progress::parts(self.lines, "slice", slices);
        let mut heard = self.hear(input, &bar, "slice");
        let mut work =
            Work { at_once: self.at_once(), journal: Some(&mut journal), ..Work::new(&mut heard) };
        let found = segment_volume(self.model, volume, self.prompts, &options, &mut work);
        bar.finish_and_clear();
        let (targets, presence): (Vec<Target>, Vec<Option<f64>>) =
            found?.into_iter().map(|Found { target, presence }| (target, presence)).unzip();
        let seconds = started.elapsed().as_secs_f64();
        let findings = Findings::new(volume, targets)?;
        let mut export = self.export_options(input, Some(view), &warnings);
        let plane = self.work.scan.plane(volume).to_string();
        export.notes.settings.push(("Plane".to_owned(), plane.clone()));
        let overlay = if self.work.draws() {
            let sheet = sheet(&findings, &view, &self.work.scan.window)?;
            Some(self.outputs.write_sheet(input, &sheet)?)
        } else {
            None
        };
        let mut files = Vec::new();
        for format in self.formats(volume) {
            let bytes = format.encode(&findings, &export)?;
            files.push(self.outputs.write_format(input, format, &bytes)?);
        }
        if self.work.slices() {
            for (index, target) in findings.targets().iter().enumerate() {
                let slices =
                    self.outputs.write_slices(input, index, target, volume.dimensions())?;
                files.push(slices);
            }
        }
        let [columns, rows, slices] = volume.dimensions();
        let report = VolumeReport {
            image: input.path.clone(),
            columns,
            rows,
            slices,
            spacing_mm: volume.grid().map(|grid| grid.spacing.to_vec()),
            plane,
            settings: self.settings.clone(),
            seconds,
            answers: TargetReport::all(&findings, volume, &presence),
            overlay,
            files,
            warnings,
        };
        self.outputs.write_report(input, &report)?;
        journal.remove()?;
        Ok(report)
    }

    /// Moves a bar, and says when work goes on that was begun before.
    pub fn hear(
        &self,
        input: &Input,
        bar: &indicatif::ProgressBar,
        part: &'static str,
    ) -> impl FnMut(Progress) {
        let mut recalled = 0;
        move |progress: Progress| {
            if !progress.asked {
                recalled = progress.done;
                bar.reset_eta();
            } else if recalled > 0 {
                let line = format!(
                    "{}: going on with {part} {} of {}",
                    input.path.display(),
                    recalled + 1,
                    progress.of
                );
                self.lines.suspend(|| complain(&line));
                recalled = 0;
            }
            bar.set_position(progress.done as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BoxReport;

    #[test]
    fn a_box_is_the_smallest_one() {
        let mut voxels = vec![0; 4 * 3 * 2];
        assert_eq!(BoxReport::of(&voxels, [4, 3, 2]), None);
        voxels[4 + 1] = 255;
        voxels[12 + 8 + 3] = 255;
        let expected = BoxReport { first: [1, 1, 0], size: [3, 2, 2] };
        assert_eq!(BoxReport::of(&voxels, [4, 3, 2]), Some(expected));
    }
}
