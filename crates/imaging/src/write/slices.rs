//! The slices of findings that people are shown.

use super::{Findings, Target};
use crate::overlay::Inscription;
use crate::{Error, Mask, Picture, Tone, View};

/// Slices of a volume that are shown at most.
const MOST_SLICES: usize = 12;

/// How findings are looked at.
pub(crate) struct Shown<'a> {
    /// Which slices, and how they are turned.
    pub view: View,
    pub tone: &'a Tone,
}

impl Shown<'_> {
    /// The slices to show, at equal distances among those where something was found; the middle one where nothing was.
    pub fn chosen(&self, findings: &Findings) -> Vec<usize> {
        let [.., slices] = self.view.dimensions();
        let reached = |target: &Target, slice: usize| {
            self.view.take(&target.voxels, slice).iter().any(|voxel| *voxel != 0)
        };
        let found: Vec<usize> = (0..slices)
            .filter(|slice| findings.targets.iter().any(|target| reached(target, *slice)))
            .collect();
        if found.is_empty() {
            return vec![slices / 2];
        }
        let count = found.len().min(MOST_SLICES);
        (0..count).map(|at| found[(at * 2 + 1) * found.len() / (count * 2)]).collect()
    }

    /// What the model saw of one slice.
    pub fn picture(&self, findings: &Findings, slice: usize) -> Result<Picture, Error> {
        findings.volume.picture(&self.view, slice, self.tone)
    }

    /// Which slice it is and, where the file says so, at which level of the patient; nothing for a picture alone.
    pub fn caption(&self, findings: &Findings, slice: usize) -> String {
        if findings.volume.is_flat() {
            return String::new();
        }
        match findings.volume.grid() {
            Some(grid) => {
                let (side, level) = self.view.level(grid, slice);
                format!("{slice} · {side} {level:.1} mm")
            }
            None => slice.to_string(),
        }
    }

    /// What is written on a slice that is drawn with its first pixel at `corner`.
    pub fn inscription(
        &self,
        findings: &Findings,
        slice: usize,
        corner: [usize; 2],
    ) -> Inscription {
        let [width, height, _] = self.view.dimensions();
        let placement =
            findings.volume.grid().and_then(|grid| self.view.geometry(grid, slice).placement);
        Inscription {
            frame: [corner[0], corner[1], width, height],
            edges: placement.map(|placement| placement.edges()).unwrap_or_default(),
            caption: self.caption(findings, slice),
        }
    }

    /// The targets' masks on one slice.
    pub fn masks(&self, findings: &Findings, slice: usize) -> Result<Vec<Mask>, Error> {
        let [width, height, _] = self.view.dimensions();
        let mask = |target: &Target| {
            let pixels = self.view.take(&target.voxels, slice);
            Mask::from_pixels(width as u32, height as u32, pixels)
        };
        findings.targets.iter().map(mask).collect()
    }
}
