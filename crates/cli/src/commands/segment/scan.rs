//! How scans are read: which slices, which window.

use std::path::Path;

use clap::{Args, ValueEnum};
use medparse_imaging::{Error, Mask, OpenOptions, Plane, Tone, View, Volume, open};

/// What the reading of DICOM, NIfTI and NRRD depends on.
#[derive(Args, Debug, Clone)]
pub struct ScanOptions {
    /// How values become grays: centre/width such as 40/400; abdomen, lung, pelvis, liver, colon or
    /// pancreas (CT); percentiles, stored (the file's own window), full, or auto.
    #[arg(long, default_value = "auto", value_name = "WINDOW", allow_hyphen_values = true)]
    pub window: Tone,
    /// Which slices of a volume are shown: as they are stored (DICOM's default) or along an axis of
    /// the patient (axial is NIfTI's and NRRD's default).
    #[arg(long, value_enum, value_name = "PLANE")]
    pub plane: Option<PlaneName>,
    /// Show the model the slices turned clockwise by 90, 180 or 270 degrees; results are turned back.
    #[arg(long, default_value = "0", value_parser = quarters, value_name = "DEGREES")]
    rotate: u32,
    /// Show the model the slices mirrored, left for right, before they are turned; results are
    /// mirrored back.
    #[arg(long)]
    flip: bool,
    /// Of a folder with several DICOM series: the number of the wanted one, or the end of its UID.
    #[arg(long, value_name = "SERIES")]
    series: Option<String>,
}

/// How slices are turned before the model sees them: mirrored first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Turn {
    /// Clockwise, in degrees: 0, 90, 180 or 270.
    rotate: u32,
    /// Whether left and right are exchanged.
    flip: bool,
}

impl Turn {
    /// The turned slices of a view.
    pub fn of(self, view: View) -> View {
        let view = if self.flip { view.mirrored() } else { view };
        view.rotated(self.rotate / 90)
    }

    /// Brings a mask of the turned slice back to the slice as it was.
    ///
    /// # Errors
    /// None; a mask has pixels.
    pub fn back(self, mask: &Mask) -> Result<Mask, Error> {
        let (width, height) = mask.dimensions();
        let lies_on_its_side = self.rotate / 90 % 2 == 1;
        let [width, height] = if lies_on_its_side { [height, width] } else { [width, height] };
        let view = self.of(View::stored([width as usize, height as usize, 1]));
        let mut pixels = vec![0; mask.pixels().len()];
        view.put_plane(mask.pixels(), 0, &mut pixels);
        Mask::from_pixels(width, height, pixels)
    }
}

/// Reads an angle.
fn quarters(text: &str) -> Result<u32, String> {
    match text {
        "0" | "90" | "180" | "270" => text.parse().map_err(|_| text.to_owned()),
        _ => Err("expected 0, 90, 180 or 270".to_owned()),
    }
}

/// The planes by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaneName {
    Stored,
    Axial,
    Coronal,
    Sagittal,
}

impl ScanOptions {
    /// Opens a picture or a scan; of a folder the series that was asked for.
    ///
    /// # Errors
    /// Those of [`open`].
    pub fn open(&self, path: &Path) -> Result<Volume, Error> {
        open(path, &OpenOptions { series: self.series.clone(), ..OpenOptions::default() })
    }

    /// The slices as the model is shown them.
    pub fn view(&self, volume: &Volume) -> View {
        self.turn().of(self.upright(volume))
    }

    /// The same slices before they are turned.
    pub fn upright(&self, volume: &Volume) -> View {
        View::new(self.plane(volume), volume.grid(), volume.dimensions())
    }

    /// How slices are turned.
    pub fn turn(&self) -> Turn {
        Turn { rotate: self.rotate, flip: self.flip }
    }

    /// The plane that was asked for, or the one that is usual for the format.
    pub fn plane(&self, volume: &Volume) -> Plane {
        match self.plane {
            Some(PlaneName::Stored) => Plane::Stored,
            Some(PlaneName::Axial) => Plane::Axial,
            Some(PlaneName::Coronal) => Plane::Coronal,
            Some(PlaneName::Sagittal) => Plane::Sagittal,
            None => volume.usual_plane(),
        }
    }
}
