//! The picture: what the model is shown.

use std::path::Path;

use crate::error::check_length;
use crate::files::{read_limited, write_atomic};
use crate::{Error, Format, Geometry, Limits, read, write};

/// 8-bit RGB pixels, and where they came from.
///
/// ```
/// use medparse_imaging::{Format, Picture};
///
/// # fn main() -> Result<(), medparse_imaging::Error> {
/// let red_and_blue = Picture::from_rgb(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// assert_eq!(red_and_blue.dimensions(), (2, 1));
/// assert_eq!(red_and_blue.source().format, Format::Memory);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    source: Source,
    geometry: Option<Geometry>,
}

/// The form a picture's samples had before they became 8-bit RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's format.
    pub format: Format,
    /// What its samples meant.
    pub color: ColorModel,
    /// Bits a sample, 1 to 64, as the file states them. Of a palette, the bits of an index.
    pub bits: u8,
}

/// What the samples of a file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColorModel {
    /// Brightness alone.
    Gray,
    /// Brightness and opacity.
    GrayAlpha,
    /// Indices into a table of colours.
    Palette,
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, opacity.
    Rgba,
    /// Luma and two chroma differences (JPEG).
    YCbCr,
    /// Four inks (JPEG of Adobe).
    Cmyk,
    /// Luma, two chroma differences and black ink (JPEG of Adobe).
    Ycck,
}

impl Picture {
    /// Reads a PNG or JPEG file within the default [`Limits`].
    ///
    /// # Errors
    /// As [`Picture::open_within`].
    ///
    /// ```
    /// # fn main() -> Result<(), medparse_imaging::Error> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("cells.png");
    /// use medparse_imaging::{Picture, procedural};
    ///
    /// procedural::cells(64, 48, 1)?.picture.save_png(&path)?;
    /// assert_eq!(Picture::open(&path)?.dimensions(), (64, 48));
    ///
    /// let refusal = Picture::open("no/such/picture.png").unwrap_err();
    /// assert_eq!(refusal.to_string(), "cannot read no/such/picture.png: no such file or folder");
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_within(path, &Limits::default())
    }

    /// Reads a PNG or JPEG file.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read, [`Error::InFile`] around any error of [`Picture::decode`].
    pub fn open_within(path: impl AsRef<Path>, limits: &Limits) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = read_limited(path, limits)?;
        Self::decode(&bytes, limits).map_err(|error| error.in_file(path))
    }

    /// Decodes a PNG or JPEG, told apart by content; the crate's first page lists the pixel transforms in order.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`], [`Error::OverLimit`], [`Error::Truncated`], [`Error::Damaged`],
    /// [`Error::Unsupported`] (such as a 12-bit, lossless or arithmetic-coded JPEG) or [`Error::Empty`].
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        read::picture(bytes, limits)
    }

    /// A picture of `width` × `height` RGB triples, row by row.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::WrongLength`].
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, Error> {
        let source = Source { format: Format::Memory, color: ColorModel::Rgb, bits: 8 };
        Self::from_parts(width, height, rgb, source)
    }

    pub(crate) fn from_parts(
        width: u32,
        height: u32,
        rgb: Vec<u8>,
        source: Source,
    ) -> Result<Self, Error> {
        check_length("RGB samples", (width, height), 3, rgb.len())?;
        Ok(Self { width, height, rgb, source, geometry: None })
    }

    /// The same pixels with a place in the patient.
    #[must_use]
    pub fn with_geometry(mut self, geometry: Geometry) -> Self {
        self.geometry = Some(geometry);
        self
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width and height.
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// `[height, width, 3]`, red first, 0..=255.
    pub fn pixels(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixels alone, `[height, width, 3]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.rgb
    }

    /// The form the samples had in the file.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The pixels' size and place in mm; `None` for PNG and JPEG.
    pub fn geometry(&self) -> Option<&Geometry> {
        self.geometry.as_ref()
    }

    /// An 8-bit RGB PNG of the pixels, compressed fast rather than hard (about 3 ms for 1024²).
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode_png(&self) -> Result<Vec<u8>, Error> {
        write::png::rgb(self)
    }

    /// Writes [`encode_png`](Self::encode_png) by [`write_atomic`].
    ///
    /// # Errors
    /// [`Error::Encode`] or [`Error::Write`].
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_atomic(path, &self.encode_png()?)
    }
}

impl std::fmt::Debug for Picture {
    /// Size and origin; never the pixels, which may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picture")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
