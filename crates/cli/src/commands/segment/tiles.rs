//! Large pictures through `medparse segment`: overlapping tiles, each shown to the model by itself.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use medparse::parts::{Found, Work};
use medparse::tiles::{Detail, TileOptions, segment_tiles};
use medparse_imaging::write::{Findings, OutputFormat, Target};
use medparse_imaging::{
    Layer, Limits, Mask, Outline, OverlayStyle, Picture, Region, Regions, TiffRegions, Tone, View,
    Volume, grouped, overlay, reduced,
};

use super::inputs::Input;
use super::run::Run;
use super::volume_report::{TargetReport, VolumeReport};
use crate::progress;

/// The longer side of the overlay of a large picture, in pixels.
const OVERLAY_SIDE: u32 = 4096;

/// Bytes that masks and probabilities of one picture may take.
const MOST_BYTES: u64 = 8 << 30;

/// A picture as it is asked, and what is known of it without its pixels.
struct Large {
    picture: Box<dyn Regions>,
    volume: Volume,
    /// How it is turned before the model sees it.
    view: View,
}

impl Run<'_> {
    /// Whether pictures are to be cut into tiles.
    pub fn is_tiled(&self) -> bool {
        self.work.tile.is_some() || self.work.um_per_px.is_some()
    }

    /// Asks every tile and writes what was found.
    pub fn tiled(&self, input: &Input) -> Result<VolumeReport> {
        let started = Instant::now();
        let Large { picture, volume, view } = self.large(&input.path)?;
        self.check_formats(input, &volume)?;
        let warnings = self.warnings_of(input, &volume);
        let detail = self.detail();
        let options = TileOptions { detail, segment: self.options, ..self.tiles(&volume)? };
        let turned = Turned { picture: &*picture, view };
        let bytes = volume.voxels() as u64
            * self.prompts.len() as u64
            * if detail == Detail::Probability { 2 } else { 1 };
        ensure!(
            bytes <= MOST_BYTES,
            "{}: masks of {} pixels for {} phrases would take {} bytes; ask for fewer at a time",
            input.path.display(),
            grouped(volume.voxels() as u64),
            self.prompts.len(),
            grouped(bytes)
        );
        let facts = std::fs::metadata(&input.path);
        let facts = facts.map(|facts| (facts.len(), facts.modified().ok()));
        let name = format!("{:?} {facts:?} {:?} {view:?}", input.path, self.work.scan.window);
        let mut journal = self.journal(input, |key| options.key(&name, key))?;
        let bar = progress::parts(self.lines, "tile", options.count(turned.dimensions()));
        let mut heard = self.hear(input, &bar, "tile");
        let mut work =
            Work { at_once: self.at_once(), journal: Some(&mut journal), ..Work::new(&mut heard) };
        let found = segment_tiles(self.model, &turned, self.prompts, &options, &mut work);
        bar.finish_and_clear();
        let (targets, presence): (Vec<Target>, Vec<Option<f64>>) = found?
            .into_iter()
            .map(|Found { target, presence }| (turned_back(target, &view), presence))
            .unzip();
        let seconds = started.elapsed().as_secs_f64();

        let (width, height) = picture.dimensions();
        let mut masks = Vec::with_capacity(targets.len());
        let mut files = Vec::new();
        let findings = Findings::new(&volume, targets)?;
        for (index, target) in findings.targets().iter().enumerate() {
            let mask = Mask::from_pixels(width, height, target.voxels.clone())?;
            files.push(self.outputs.write_mask(input, index, &mask)?);
            if self.work.draws() {
                masks.push(mask);
            }
        }
        let drawn = if self.work.draws() {
            let (small, masks) =
                reduced(&*picture, &masks.iter().collect::<Vec<_>>(), OVERLAY_SIDE)?;
            let layers: Vec<Layer> = findings
                .targets()
                .iter()
                .zip(&masks)
                .map(|(target, mask)| {
                    let layer = Layer::new(&target.label, mask).with_color(target.color);
                    match target.count() {
                        0 => layer,
                        count => layer.with_extent(format!("{} px", grouped(count))),
                    }
                })
                .collect();
            let style = OverlayStyle { outline: Outline::Fine, ..OverlayStyle::default() };
            Some(self.outputs.write_sheet(input, &overlay(&small, &layers, &style)?)?)
        } else {
            None
        };
        drop(masks);
        let export = self.export_options(input, None, &warnings);
        for format in self.work.files() {
            let bytes = format.encode(&findings, &export)?;
            files.push(self.outputs.write_format(input, format, &bytes)?);
        }
        let report = VolumeReport {
            image: input.path.clone(),
            columns: width as usize,
            rows: height as usize,
            slices: 1,
            spacing_mm: volume.pixel_spacing().map(|spacing| spacing.to_vec()),
            plane: format!("tiles of {} px", options.side),
            settings: self.settings.clone(),
            seconds,
            answers: TargetReport::all(&findings, &volume, &presence),
            overlay: drawn,
            files,
            warnings,
        };
        self.outputs.write_report(input, &report)?;
        journal.remove()?;
        Ok(report)
    }

    /// The picture: of TIFF files its regions, of everything else all pixels.
    fn large(&self, path: &Path) -> Result<Large> {
        // Other tones depend on all values.
        let in_regions = self.work.scan.window == Tone::Auto && path.is_file();
        let tiff = if in_regions { TiffRegions::open(path, &Limits::default()) } else { Ok(None) };
        let whole = || self.work.scan.open(path);
        let volume = match tiff {
            Ok(Some(tiff)) => {
                let volume = tiff.outline();
                let view = self.work.scan.view(&volume);
                return Ok(Large { picture: Box::new(tiff), volume, view });
            }
            Ok(None) => whole()?,
            // Of 16 bits and the like, what is small enough is read at once.
            Err(refusal) => whole().map_err(|_| refusal)?,
        };
        ensure!(
            volume.is_flat(),
            "{}: --tile and --um-per-px are for single pictures, not for volumes",
            path.display()
        );
        let view = self.work.scan.view(&volume);
        let stored = View::stored(volume.dimensions());
        let picture = volume.picture(&stored, 0, &self.work.scan.window)?;
        Ok(Large { picture: Box::new(picture), volume, view })
    }

    /// How the picture is to be cut.
    fn tiles(&self, volume: &Volume) -> Result<TileOptions> {
        if let Some(side) = self.work.tile {
            return Ok(TileOptions::of_side(side as usize));
        }
        let wanted = self.work.um_per_px.unwrap_or_default();
        ensure!(
            wanted > 0.0 && wanted.is_finite(),
            "--um-per-px: expected a number above 0, found {wanted}"
        );
        let [along, _] = volume.pixel_spacing().context(
            "--um-per-px: the picture does not state its resolution; give --tile in pixels",
        )?;
        let side = self.model.network().image_size;
        Ok(TileOptions::at_scale(side, along * 1000.0, wanted))
    }

    /// Probabilities are kept only for formats that have them, or settle overlaps by them.
    fn detail(&self) -> Detail {
        use OutputFormat::{DicomSegFractional, Nifti, Npz, Nrrd};
        let needs =
            |format: &OutputFormat| matches!(format, DicomSegFractional | Nifti | Npz | Nrrd);
        if self.work.files().iter().any(needs) { Detail::Probability } else { Detail::Mask }
    }
}

/// A picture, turned region by region.
struct Turned<'a> {
    picture: &'a dyn Regions,
    view: View,
}

impl Regions for Turned<'_> {
    fn dimensions(&self) -> (u32, u32) {
        let [width, height, _] = self.view.dimensions();
        (width as u32, height as u32)
    }

    fn region(&self, region: Region) -> Result<Picture, medparse_imaging::Error> {
        if self.view.is_stored() {
            return self.picture.region(region);
        }
        let stored = self.picture.dimensions();
        // The same axes on a picture of the region's size.
        let [x, y, _] = self.view.axes();
        let mut place = [[0; 2]; 2];
        for (axis, from, length) in [(x, region.x, region.width), (y, region.y, region.height)] {
            let whole = if axis.of == 0 { stored.0 } else { stored.1 };
            let start = if axis.reversed { whole.saturating_sub(from + length) } else { from };
            place[axis.of.min(1)] = [start, length];
        }
        let [[x, width], [y, height]] = place;
        let picture = self.picture.region(Region { x, y, width, height })?;
        let view = self.view.of_size([width as usize, height as usize, 1]);
        let (pixels, _) = picture.pixels().as_chunks::<3>();
        let turned = view.take(pixels, 0).into_flattened();
        Picture::from_rgb(region.width, region.height, turned)
    }
}

/// Brings what was found from the turned picture to the file's own pixels.
fn turned_back(mut target: Target, view: &View) -> Target {
    if view.is_stored() {
        return target;
    }
    target.voxels = turned(&target.voxels, view);
    target.probabilities = target.probabilities.map(|values| turned(&values, view));
    target
}

/// One slice's bytes from the view's order to the file's.
fn turned(values: &[u8], view: &View) -> Vec<u8> {
    let mut stored = vec![0; values.len()];
    view.put_plane(values, 0, &mut stored);
    stored
}

#[cfg(test)]
mod tests {
    use medparse_imaging::procedural;

    use super::*;

    #[test]
    fn a_region_of_the_turned_picture_is_the_turned_region() {
        let picture = procedural::cells(40, 25, 3).unwrap().picture;
        let stored = View::stored([40, 25, 1]);
        let (pixels, _) = picture.pixels().as_chunks::<3>();
        for view in [stored, stored.rotated(1), stored.mirrored(), stored.mirrored().rotated(3)] {
            let [width, height, _] = view.dimensions();
            let whole = view.take(pixels, 0).into_flattened();
            let whole = Picture::from_rgb(width as u32, height as u32, whole).unwrap();
            let turned = Turned { picture: &picture, view };
            assert_eq!(turned.dimensions(), whole.dimensions());
            let region = Region { x: 5, y: 11, width: 13, height: 9 };
            assert!(turned.region(region).unwrap() == whole.region(region).unwrap(), "{view:?}");
        }
    }
}
