//! How pictures are asked and what is written of them: the flags that `segment` and `batch` share.

use std::num::NonZeroUsize;

use clap::Args;
use medparse::{Interaction, Model, SegmentOptions};
use medparse_imaging::write::{OutputFormat, UnknownOutputFormat};

use super::report::Settings;
use super::scan::ScanOptions;
use crate::model_options::ModelOptions;

/// What can be asked for with `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Mask PNGs: of a picture they are always written, of a volume one for each slice.
    Png,
    /// What `--overlay` draws.
    Overlay,
    /// A file that holds all that was found.
    File(OutputFormat),
}

impl Wanted {
    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Overlay => "overlay",
            Self::File(format) => format.name(),
        }
    }
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "overlay" => Ok(Self::Overlay),
            name => name
                .parse()
                .map(Self::File)
                .map_err(|unknown: UnknownOutputFormat| format!("{unknown}, png, overlay")),
        }
    }
}

/// How pictures are asked and what is written of them.
#[derive(Args, Debug, Clone)]
pub struct WorkOptions {
    /// Draw the masks over each picture, with a legend; of a volume, over slices side by side.
    #[arg(long)]
    overlay: bool,
    /// Write what was found in these formats too: png (of a volume, one for each slice), nifti, nrrd,
    /// dicom-seg, dicom-seg-fractional, rtstruct, coco, geojson, npz, html, overlay; several are
    /// separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "FORMAT")]
    pub format: Vec<Wanted>,
    /// Of volumes: mix each slice's probabilities with its neighbours'.
    #[arg(long)]
    pub smooth: bool,
    /// Of volumes: keep each target's largest connected piece only.
    #[arg(long)]
    pub largest: bool,
    /// Of large pictures: cut into overlapping tiles of this side, in pixels, each shown to the
    /// model by itself.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(16..), conflicts_with = "um_per_px")]
    pub tile: Option<u32>,
    /// Of large pictures that state their resolution: tiles at this many µm a pixel of the model's.
    #[arg(long, value_name = "UM")]
    pub um_per_px: Option<f64>,
    /// Slices or tiles asked at the same time, each with the memory of a request; one for every
    /// four threads by default.
    #[arg(long, value_name = "N")]
    pub parallel: Option<NonZeroUsize>,
    #[command(flatten)]
    pub scan: ScanOptions,
    /// Ask each phrase for itself instead of all together.
    #[arg(long)]
    pub independent: bool,
    /// A pixel belongs to a mask where its probability is greater than this.
    #[arg(long, default_value_t = 0.5, value_parser = probability, value_name = "P")]
    pub threshold: f32,
    /// Empty the mask where the object is there with a probability below this; only for models
    /// that estimate it.
    #[arg(long, value_parser = probability, value_name = "P")]
    pub presence_threshold: Option<f32>,
}

impl WorkOptions {
    /// Whether masks are drawn over the picture.
    pub fn draws(&self) -> bool {
        self.overlay || self.format.contains(&Wanted::Overlay)
    }

    /// Whether every slice of a volume gets mask PNGs.
    pub fn slices(&self) -> bool {
        self.format.contains(&Wanted::Png)
    }

    /// The files that were asked for, each once.
    pub fn files(&self) -> Vec<OutputFormat> {
        let mut files = Vec::new();
        for wanted in &self.format {
            match wanted {
                Wanted::File(format) if !files.contains(format) => files.push(*format),
                _ => {}
            }
        }
        files
    }

    /// Whether phrases see each other.
    fn interaction(&self) -> Interaction {
        if self.independent { Interaction::Independent } else { Interaction::Joint }
    }

    /// How the model is asked.
    pub fn segment_options(&self) -> SegmentOptions {
        SegmentOptions {
            interaction: self.interaction(),
            threshold: self.threshold,
            presence_threshold: self.presence_threshold,
        }
    }

    /// How the answers are made, for reports.
    pub fn settings(&self, model: &Model, loaded: &ModelOptions) -> Settings {
        Settings {
            model: model.card().name.clone(),
            device: loaded.device().to_string(),
            precision: model.precision().name(),
            interaction: self.interaction(),
            threshold: self.threshold,
            presence_threshold: self.presence_threshold,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_word() {
        for format in OutputFormat::ALL {
            assert_eq!(format.name().parse(), Ok(Wanted::File(format)));
        }
        for wanted in [Wanted::Png, Wanted::Overlay] {
            assert_eq!(wanted.name().to_uppercase().parse(), Ok(wanted));
        }
        let error = "gif".parse::<Wanted>().unwrap_err();
        assert!(
            error.contains("\"gif\" is no output format") && error.ends_with("html, png, overlay")
        );
    }
}
