//! PNG files, read row by row with the `png` crate.

use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, InterlaceInfo, Reader};

use super::png_samples::Samples;
use crate::error::Place;
use crate::limits::Claim;
use crate::read::FileInfo;
use crate::volume::{Samples as Voxels, Volume};
use crate::{ColorModel, Error, Format, Limits, Mask, Picture, Source};

/// 8-bit RGB of any PNG.
pub(super) fn picture(bytes: &[u8], limits: &Limits) -> Result<Picture, Error> {
    let mut file = PngFile::open(bytes, limits, 3)?;
    let source = Source {
        format: Format::Png,
        color: match file.color {
            ColorType::Grayscale => ColorModel::Gray,
            ColorType::GrayscaleAlpha => ColorModel::GrayAlpha,
            ColorType::Indexed => ColorModel::Palette,
            ColorType::Rgb => ColorModel::Rgb,
            ColorType::Rgba => ColorModel::Rgba,
        },
        bits: file.depth as u8,
    };
    let rgb = if file.color == ColorType::Rgb && file.depth == BitDepth::Eight {
        file.frame()?
    } else {
        let samples = file.samples();
        file.convert(3, |row, out| samples.write_rgb(row, out))?
    };
    Picture::from_parts(file.width, file.height, rgb, source)
}

/// Gray of 16 bits keeps its values; everything else is what [`picture`] makes of it.
pub(super) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let mut file = PngFile::open(bytes, limits, 4)?;
    let dimensions = [file.width as usize, file.height as usize, 1];
    let is_gray = matches!(file.color, ColorType::Grayscale | ColorType::GrayscaleAlpha);
    if !is_gray || file.depth != BitDepth::Sixteen {
        let picture = picture(bytes, limits)?;
        let info = FileInfo::new(picture.source());
        return Volume::from_parts(dimensions, Voxels::Rgb(picture.into_pixels()), info);
    }
    let channels = file.color.samples();
    let frame = file.frame()?;
    let (values, _) = frame.as_chunks::<2>();
    let values =
        values.iter().step_by(channels).map(|raw| u16::from_be_bytes(*raw).into()).collect();
    let source = Source { format: Format::Png, color: ColorModel::Gray, bits: 16 };
    Volume::from_parts(dimensions, Voxels::Gray(values), FileInfo::new(source))
}

/// 255 wherever a PNG's colour is not black, alpha aside.
pub(super) fn mask(bytes: &[u8], limits: &Limits) -> Result<Mask, Error> {
    let mut file = PngFile::open(bytes, limits, 1)?;
    let samples = file.samples();
    let pixels = file.convert(1, |row, out| samples.write_foreground(row, out))?;
    Mask::from_pixels(file.width, file.height, pixels)
}

/// A PNG whose header has passed the limits.
struct PngFile<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    bytes: usize,
    width: u32,
    height: u32,
    color: ColorType,
    depth: BitDepth,
    interlaced: bool,
    /// Bytes of one full row of packed samples.
    row_bytes: usize,
}

impl<'a> PngFile<'a> {
    /// Reads everything before the pixels; `channels` are the bytes a pixel that the caller will make.
    fn open(bytes: &'a [u8], limits: &Limits, channels: u64) -> Result<Self, Error> {
        let header_error = |error| describe(error, bytes.len(), Place::Header);
        let mut options = DecodeOptions::default();
        // Neither is used, and both can be bombs of their own.
        options.set_ignore_text_chunk(true);
        options.set_ignore_iccp_chunk(true);
        let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
        decoder.set_limits(png::Limits {
            bytes: usize::try_from(limits.max_decoded_bytes).unwrap_or(usize::MAX),
        });

        let info = decoder.read_header_info().map_err(header_error)?;
        let (width, height, color, depth) =
            (info.width, info.height, info.color_type, info.bit_depth);
        let interlaced = info.interlaced;
        let bits_per_row = u64::from(width) * color.samples() as u64 * depth as u64;
        let row_bytes = bits_per_row.div_ceil(8);
        let pixels = (u64::from(width) * u64::from(height)).saturating_mul(channels);
        limits.check(Claim {
            width,
            height,
            encoded_bytes: bytes.len(),
            // An interlaced picture's samples are put in order before they are converted.
            decoded_bytes: row_bytes
                .saturating_mul(if interlaced { height.into() } else { 1 })
                .saturating_add(pixels),
        })?;

        let reader = decoder.read_info().map_err(header_error)?;
        if reader.output_line_size(width) != usize::try_from(row_bytes).ok() {
            return Err(damaged("its rows are not as long as its header says"));
        }
        Ok(Self {
            reader,
            bytes: bytes.len(),
            width,
            height,
            color,
            depth,
            interlaced,
            row_bytes: row_bytes as usize,
        })
    }

    fn samples(&self) -> Samples {
        let palette = self.reader.info().palette.as_deref().unwrap_or_default();
        Samples::new(self.color, self.depth, palette)
    }

    /// Converts every row of samples into `channels` bytes a pixel.
    fn convert(
        &mut self,
        channels: usize,
        write: impl Fn(&[u8], &mut [u8]),
    ) -> Result<Vec<u8>, Error> {
        let row_length = self.width as usize * channels;
        let mut pixels = vec![0; row_length * self.height as usize];
        let rows = pixels.chunks_exact_mut(row_length);
        if self.interlaced {
            let frame = self.frame()?;
            rows.zip(frame.chunks_exact(self.row_bytes)).for_each(|(out, row)| write(row, out));
        } else {
            let mut row = vec![0; self.row_bytes];
            for (complete, out) in rows.enumerate() {
                self.read_row(complete, &mut row)?;
                write(&row, out);
            }
            self.finish()?;
        }
        Ok(pixels)
    }

    /// All samples as the PNG packs them, in order.
    fn frame(&mut self) -> Result<Vec<u8>, Error> {
        let mut frame = vec![0; self.row_bytes * self.height as usize];
        if self.interlaced {
            self.read_interlaced(&mut frame)?;
        } else {
            for (complete, row) in frame.chunks_exact_mut(self.row_bytes).enumerate() {
                self.read_row(complete, row)?;
            }
        }
        self.finish()?;
        Ok(frame)
    }

    fn read_row(&mut self, complete: usize, row: &mut [u8]) -> Result<(), Error> {
        let place = Place::Row { complete: complete as u32, of: self.height };
        match self.reader.read_row(row) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(damaged("it holds fewer rows than its header says")),
            Err(error) => Err(describe(error, self.bytes, place)),
        }
    }

    fn read_interlaced(&mut self, frame: &mut [u8]) -> Result<(), Error> {
        let bits_per_pixel = self.color.samples() as u8 * self.depth as u8;
        loop {
            match self.reader.next_interlaced_row() {
                Ok(Some(row)) => {
                    let InterlaceInfo::Adam7(pass) = row.interlace() else {
                        return Err(damaged("its rows are not interlaced as its header says"));
                    };
                    png::expand_interlaced_row(
                        frame,
                        self.row_bytes,
                        row.data(),
                        pass,
                        bits_per_pixel,
                    );
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(describe(error, self.bytes, Place::Passes)),
            }
        }
    }

    /// Reads to the closing chunk, so that a file that ends early is noticed even when its pixels are whole.
    fn finish(&mut self) -> Result<(), Error> {
        self.reader.finish().map_err(|error| describe(error, self.bytes, Place::End))
    }
}

fn damaged(detail: &str) -> Error {
    Error::Damaged { format: Format::Png, detail: detail.into() }
}

/// The `png` crate's error as one of ours, with the place that the decoder had come to.
fn describe(error: DecodingError, bytes: usize, place: Place) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Error::Truncated { format: Format::Png, bytes, place }
        }
        DecodingError::LimitsExceeded => Error::OverLimit {
            claim: "the PNG's chunks need more memory than may be used".into(),
            limit: "`max_decoded_bytes`".into(),
        },
        other => damaged(&format!("{other} ({place})")),
    }
}
