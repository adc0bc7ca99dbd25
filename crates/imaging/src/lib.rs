//! Bytes to pictures and volumes, masks to bytes.
//!
//! [`open`] reads any file or DICOM series as a [`Volume`]: measured values with a [`Grid`] in the patient. A [`View`]
//! cuts it into slices and a [`Tone`] makes each a picture. [`write::Findings`] takes what was found in it to any
//! [`write::OutputFormat`], on the input's own voxels. `docs/pictures.md` lists the steps in their order.
//!
//! A [`Picture`] is what the model is shown: 8-bit RGB pixels, and the [`Source`] and [`Geometry`] they came with.
//! A [`Mask`] is what the model answers: one byte a pixel, 0 or 255. [`overlay`] draws the masks over the picture.
//! This crate knows no tensors and no network.
//!
//! ```
//! use medparse_imaging::{Layer, Limits, Mask, OverlayStyle, Picture, overlay, procedural};
//!
//! # fn main() -> Result<(), medparse_imaging::Error> {
//! let scene = procedural::cells(96, 64, 7)?;
//! let bytes = scene.picture.encode_png()?;
//! let picture = Picture::decode(&bytes, &Limits::default())?;
//! assert_eq!(picture.pixels(), scene.picture.pixels());
//!
//! let nuclei = &scene.targets[0];
//! let layers = [Layer::new(nuclei.label, &nuclei.mask).with_note("p 0.93")];
//! let drawn = overlay(&picture, &layers, &OverlayStyle::default())?;
//! assert!(drawn.width() >= picture.width());
//! # Ok(())
//! # }
//! ```
//!
//! # The order of pixel transforms
//!
//! What [`Picture::decode`] does to the samples of a file, in this order. The result is that of Pillow's
//! `Image.open(f).convert("RGB")`: to the byte for PNG, apart from the 16-bit gray of step 4; within the rounding that
//! the standard leaves open for JPEG (5 levels of 255 at most in what was tried, 0.3 on average).
//!
//! 1. The format is told by the first bytes, never by the file's name.
//! 2. Size and claims are held against [`Limits`] before a pixel is allocated.
//! 3. The file is decompressed; interlaced PNGs are put in order. A file that ends early, or a PNG whose checksums do not
//!    hold, is an error: no half picture is ever returned. (JPEG has no checksums: damage inside its pixels is found
//!    only where it breaks the format's rules.)
//! 4. Samples become 8 bits: 1, 2 and 4-bit gray is spread over 0..=255 (× 255, 85, 17); of 16 bits the high byte is
//!    kept, that is, the full range 0..=65535 maps linearly onto 0..=255. (Pillow does the same for 16-bit RGB, RGBA and
//!    gray with alpha, but clips pure 16-bit gray at 255, which turns nearly every scan white. A 12-bit scan
//!    in 16-bit gray that was never spread comes out dark here: [`Source::bits`] says 16, so a caller can warn.)
//! 5. Colours become RGB: palettes are looked up (an index past the palette's end is black), gray is replicated, YCbCr
//!    is converted by JFIF's formula; CMYK and YCCK are read as Adobe writes them (inverted) and multiplied with black.
//! 6. Alpha is dropped, not blended: the colour under a transparent pixel shows. `tRNS` is ignored.
//! 7. Nothing else: EXIF orientation is not applied, colour profiles (`iCCP`, `gAMA`, ICC) are not applied, and of an
//!    animated PNG the default image is taken.
//!
//! # Third-party data
//!
//! The legend of an overlay is set in Noto Sans Regular (Google; Apache License 2.0 as the font itself states, OFL 1.1 as
//! its crate does), which is embedded in the program; see `THIRD_PARTY.md` beside this crate's manifest.

mod dicom;
mod error;
mod files;
mod format;
pub mod geometry;
mod limits;
mod mask;
mod nifti;
mod nrrd;
mod numbers;
mod overlay;
mod picture;
pub mod procedural;
mod read;
mod regions;
pub mod tone;
mod volume;
pub mod write;

pub use dicom::{Instance, Origin, series_sizes};
pub use error::{Error, IoReason, Place};
pub use files::{discard_unfinished, write_atomic};
pub use format::Format;
pub use geometry::{Affine, Axis, Geometry, Grid, Placement, Plane, View};
pub use limits::Limits;
pub use mask::{BoundingBox, Mask};
pub use numbers::grouped;
pub use overlay::{Enlargement, Layer, Legend, Outline, OverlayStyle, PALETTE, Rgb, overlay};
pub use picture::{ColorModel, Picture, Source};
pub use read::{OpenOptions, TiffRegions, decode, open};
pub use regions::{Region, Regions, reduced};
pub use tone::Tone;
pub use volume::{Samples, Volume};
