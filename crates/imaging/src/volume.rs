//! The volume: what a scan measured, before it becomes pictures.

use std::sync::Arc;

use crate::dicom::Origin;
use crate::read::FileInfo;
use crate::tone::{Curve, Site, Tone, Window, percentiles};
use crate::{ColorModel, Error, Format, Grid, Picture, Plane, Source, View};

/// Slices of measured values or of colours, with their place in the patient; a single picture is a volume of one slice.
///
/// Voxels are in the file's own order: columns fastest, then rows, then slices.
#[derive(Clone)]
pub struct Volume {
    pub(crate) dimensions: [usize; 3],
    pub(crate) samples: Samples,
    pub(crate) grid: Option<Grid>,
    pub(crate) info: FileInfo,
    pub(crate) origin: Option<Arc<Origin>>,
}

/// The values of a volume's voxels.
#[derive(Clone, PartialEq)]
pub enum Samples {
    /// One value a voxel, after rescaling: Hounsfield units for CT. Whole numbers up to 2²⁴ are exact.
    Gray(Vec<f32>),
    /// Red, green and blue of every voxel.
    Rgb(Vec<u8>),
}

impl Samples {
    /// Bytes in memory a voxel.
    pub(crate) fn bytes_a_voxel(color: ColorModel) -> u64 {
        if color == ColorModel::Gray { 4 } else { 3 }
    }
}

impl Volume {
    /// A volume of gray values, `[slice][row][column]`.
    ///
    /// # Errors
    /// [`Error::WrongVolume`] where there is not one value a voxel.
    pub fn from_gray(dimensions: [usize; 3], values: Vec<f32>) -> Result<Self, Error> {
        let source = Source { format: Format::Memory, color: ColorModel::Gray, bits: 32 };
        Self::from_parts(dimensions, Samples::Gray(values), FileInfo::new(source))
    }

    pub(crate) fn from_parts(
        dimensions: [usize; 3],
        samples: Samples,
        info: FileInfo,
    ) -> Result<Self, Error> {
        let found = match &samples {
            Samples::Gray(values) => values.len(),
            Samples::Rgb(bytes) => bytes.len() / 3,
        };
        let expected = dimensions.iter().try_fold(1_usize, |all, side| all.checked_mul(*side));
        if expected != Some(found) || found == 0 {
            return Err(Error::WrongVolume { dimensions, found });
        }
        Ok(Self { dimensions, samples, grid: None, info, origin: None })
    }

    /// A picture whose values were not read, because they are too many: its size, its resolution, and what is found in it.
    pub(crate) fn outline(width: u32, height: u32, info: FileInfo) -> Self {
        Self {
            dimensions: [width as usize, height as usize, 1],
            samples: Samples::Rgb(Vec::new()),
            grid: None,
            info,
            origin: None,
        }
    }

    /// The same voxels in the patient.
    #[must_use]
    pub fn with_grid(mut self, grid: Grid) -> Self {
        self.grid = Some(grid);
        self
    }

    /// Columns, rows, slices.
    pub fn dimensions(&self) -> [usize; 3] {
        self.dimensions
    }

    /// Voxels in all.
    pub fn voxels(&self) -> usize {
        self.dimensions.iter().product()
    }

    /// The voxels' values.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Where the voxels lie; `None` for photographs and for frames that are moments rather than places.
    pub fn grid(&self) -> Option<&Grid> {
        self.grid.as_ref()
    }

    /// mm from pixel to pixel, along a row and down a column, where the file says so.
    pub fn pixel_spacing(&self) -> Option<[f64; 2]> {
        match &self.grid {
            Some(Grid { spacing: [along, down, _], .. }) => Some([*along, *down]),
            None => self.info.pixel_spacing,
        }
    }

    /// The form the samples had in the file.
    pub fn source(&self) -> Source {
        self.info.source
    }

    /// DICOM's code of the modality, such as `CT` or `MR`; `None` where the file does not say.
    pub fn modality(&self) -> Option<&str> {
        self.info.modality.as_deref()
    }

    /// The plane that is usual for the format: axial for NIfTI and NRRD, whose slices may lie any way in the file, and
    /// the slices as they are stored for the rest.
    pub fn usual_plane(&self) -> Plane {
        match self.info.source.format {
            Format::Nifti | Format::Nrrd => Plane::Axial,
            _ => Plane::Stored,
        }
    }

    /// The values that the file's own window or table (DICOM's VOI LUT) spreads over the grays; `None` where it has none.
    ///
    /// [`Tone::Stored`] follows a table or a sigmoid exactly; this is its extent, for viewers that show straight lines.
    pub fn stored_window(&self) -> Option<Window> {
        let window = match self.info.curve.as_ref()? {
            Curve::Linear(window) => *window,
            Curve::Sigmoid { center, width } => Window::around(*center, *width)?,
            Curve::Table { first, grays } => {
                Window { low: *first, high: first + grays.len().saturating_sub(1) as f64 }
            }
        };
        (window.high > window.low).then_some(window)
    }

    /// Whether low values are white (DICOM's MONOCHROME1): pictures of the volume are turned over.
    pub fn is_inverted(&self) -> bool {
        self.info.inverted
    }

    /// What a person should know of how the file was read: a slice that is missing, a place that is not stated.
    pub fn warnings(&self) -> &[String] {
        &self.info.warnings
    }

    /// The DICOM objects that the voxels came from.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Whether this is one plain picture rather than slices.
    pub fn is_flat(&self) -> bool {
        self.dimensions[2] == 1
    }

    /// One slice of a view as the model is shown it.
    ///
    /// The steps, in their order, are those of `docs/pictures.md`: values, curve, inversion of MONOCHROME1, gray.
    ///
    /// # Errors
    /// [`Error::NoSlice`] where the view has no such slice, [`Error::Unsupported`] where the values were not read because
    /// they are too many.
    pub fn picture(&self, view: &View, slice: usize, tone: &Tone) -> Result<Picture, Error> {
        let [width, height, slices] = view.dimensions();
        if slice >= slices {
            return Err(Error::NoSlice { asked: slice, slices });
        }
        if matches!(&self.samples, Samples::Rgb(bytes) if bytes.is_empty()) {
            let detail = "its values were read in regions only".into();
            return Err(Error::Unsupported { format: self.info.source.format, detail });
        }
        let rgb = match &self.samples {
            Samples::Gray(values) => {
                let values = view.take(values, slice);
                let mut grays = self.curve(tone, &values).grays(&values);
                if self.info.inverted {
                    grays.iter_mut().for_each(|gray| *gray = 255 - *gray);
                }
                grays.into_iter().flat_map(|gray| [gray; 3]).collect()
            }
            Samples::Rgb(bytes) => {
                let (pixels, _) = bytes.as_chunks::<3>();
                view.take(pixels, slice).into_flattened()
            }
        };
        let picture = Picture::from_parts(width as u32, height as u32, rgb, self.info.source)?;
        Ok(match (&self.grid, self.info.pixel_spacing) {
            (Some(grid), _) => picture.with_geometry(view.geometry(grid, slice)),
            (None, Some(spacing)) => picture.with_geometry(crate::Geometry::from_spacing(spacing)),
            (None, None) => picture,
        })
    }

    fn curve(&self, tone: &Tone, values: &[f32]) -> Curve {
        let stored = || self.info.curve.as_ref();
        match tone {
            Tone::Window(window) => Curve::Linear(*window),
            Tone::Site(site) => Curve::Linear(site.window()),
            Tone::Full => full(values),
            Tone::Stored => stored().cloned().unwrap_or_else(|| full(values)),
            Tone::Percentiles => middle(values),
            Tone::Auto if self.info.modality.as_deref() == Some("CT") => {
                stored().cloned().unwrap_or(Curve::Linear(Site::Abdomen.window()))
            }
            Tone::Auto if self.info.source.format.is_photograph() && self.info.source.bits <= 8 => {
                Curve::Linear(Window { low: 0.0, high: 255.0 })
            }
            Tone::Auto => middle(values),
        }
    }
}

impl std::fmt::Debug for Volume {
    /// Size and source; never the voxels or the patient.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume")
            .field("dimensions", &self.dimensions)
            .field("source", &self.info.source)
            .finish_non_exhaustive()
    }
}

/// From the least to the greatest of the finite values.
fn full(values: &[f32]) -> Curve {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    Curve::Linear(Window { low: low.into(), high: high.into() })
}

/// BiomedParse's way with everything but CT.
fn middle(values: &[f32]) -> Curve {
    let above_zero = values.iter().copied().filter(|value| *value > 0.0).collect();
    match percentiles(above_zero, [0.5, 99.5]) {
        Some([low, high]) if high > low => Curve::Linear(Window { low, high }),
        _ => full(values),
    }
}
