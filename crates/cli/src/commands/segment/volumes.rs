//! Volumes through `medparse segment`: every slice asked, label maps out.

use std::time::Instant;

use anyhow::Result;
use medparse::parts::{Found, Progress, Work};
use medparse::volume::{Keep, Smoothing, VolumeOptions, segment_volume};
use medparse_imaging::Volume;
use medparse_imaging::write::{Findings, Target, sheet};

use super::inputs::Input;
use super::run::Run;
use super::volume_report::{TargetReport, VolumeReport};
use crate::output::complain;
use crate::progress;

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
