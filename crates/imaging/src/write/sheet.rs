//! One picture of a volume's findings: slices side by side, masks drawn in.

use super::Findings;
use super::slices::Shown;
use crate::overlay::inscribed;
use crate::{Error, Layer, Mask, OverlayStyle, Picture, Tone, View, grouped};

/// Slices in a row at most.
const COLUMNS: usize = 4;

/// Draws at most twelve slices of `view`, at equal distances among those where something was found, and a legend that
/// says how much of each target there is in all. Each slice has its number, its level, and the letters of the patient's
/// sides, where the file says them.
///
/// # Errors
/// When a slice cannot be shown, as where its values were not read.
pub fn sheet(findings: &Findings, view: &View, tone: &Tone) -> Result<Picture, Error> {
    let shown = Shown { view: *view, tone };
    let slices = shown.chosen(findings);
    let [width, height, _] = view.dimensions();
    let columns = slices.len().min(COLUMNS);
    let rows = slices.len().div_ceil(columns);
    let size = [columns * width, rows * height];
    let mut pixels = vec![0; size[0] * size[1] * 3];
    let mut masks = vec![vec![0; size[0] * size[1]]; findings.targets.len()];
    let mut inscriptions = Vec::with_capacity(slices.len());
    for (place, slice) in slices.into_iter().enumerate() {
        let [left, top] = [(place % columns) * width, (place / columns) * height];
        let start = top * size[0] + left;
        inscriptions.push(shown.inscription(findings, slice, [left, top]));
        let picture = shown.picture(findings, slice)?;
        put(&mut pixels, picture.pixels(), [start * 3, size[0] * 3, width * 3]);
        for (sheet, mask) in masks.iter_mut().zip(shown.masks(findings, slice)?) {
            put(sheet, mask.pixels(), [start, size[0], width]);
        }
    }
    let [width, height] = size.map(|side| side as u32);
    let picture = Picture::from_rgb(width, height, pixels)?;
    let masks: Vec<Mask> = masks
        .into_iter()
        .map(|pixels| Mask::from_pixels(width, height, pixels))
        .collect::<Result<_, _>>()?;
    let layers = findings.targets.iter().zip(&masks).map(|(target, mask)| {
        let layer = Layer::new(&target.label, mask).with_color(target.color);
        match (target.count(), findings.millilitres(target)) {
            (0, _) => layer,
            (_, Some(volume)) if !findings.volume.is_flat() => {
                layer.with_extent(format!("{volume:.2} mL"))
            }
            (voxels, _) => layer.with_extent(format!("{} px", grouped(voxels))),
        }
    });
    inscribed(&picture, &layers.collect::<Vec<_>>(), &OverlayStyle::default(), &inscriptions)
}

/// Copies rows of `width` values into a larger picture whose rows are `stride` long.
fn put(into: &mut [u8], rows: &[u8], [start, stride, width]: [usize; 3]) {
    for (y, row) in rows.chunks_exact(width).enumerate() {
        into[start + y * stride..][..width].copy_from_slice(row);
    }
}
