//! From measured values to the 256 grays that the model was trained on.

mod curve;
mod percentiles;
mod site;

pub use curve::{Curve, Window};
pub use percentiles::percentiles;
pub use site::{Site, UnknownWindow};

/// How a volume's values become grays.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Tone {
    /// What BiomedParse was trained on: CT by the file's own window or, where it has none, the abdomen's; 8-bit pictures
    /// as they are; everything else by [`Tone::Percentiles`].
    #[default]
    Auto,
    /// One window for all slices.
    Window(Window),
    /// A window named after what it shows; CT only, in Hounsfield units.
    Site(Site),
    /// From the 0.5th to the 99.5th percentile of the slice's values above 0 (BiomedParse, `processing_utils.py`).
    Percentiles,
    /// The file's own window or table (DICOM VOI LUT); [`Tone::Full`] where it has none.
    Stored,
    /// From the slice's least value to its greatest.
    Full,
}

impl std::str::FromStr for Tone {
    type Err = UnknownWindow;

    /// Reads `40/400` (centre and width), a site's name, `percentiles`, `stored`, `full` or `auto`.
    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        let text = text.trim();
        match text {
            "auto" => return Ok(Self::Auto),
            "percentiles" => return Ok(Self::Percentiles),
            "stored" => return Ok(Self::Stored),
            "full" => return Ok(Self::Full),
            _ => {}
        }
        if let Some((center, width)) = text.split_once('/') {
            let numbers = center.trim().parse::<f64>().ok().zip(width.trim().parse::<f64>().ok());
            return numbers
                .and_then(|(center, width)| Window::around(center, width))
                .map(Self::Window)
                .ok_or_else(|| UnknownWindow { text: text.to_owned() });
        }
        text.parse().map(Self::Site)
    }
}
