//! TIFF files whose pixels are too many to hold: strips and tiles are decoded when they are looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tiff::decoder::{ChunkType, Decoder};
use tiff::{ColorType, TiffError};

use super::{allowed, describe, high_bytes, spacing, to_rgb, unsupported};
use crate::error::IoReason;
use crate::read::FileInfo;
use crate::regions::{Region, Regions};
use crate::{ColorModel, Error, Format, Limits, Picture, Source, Volume, grouped};

/// Longest side; a mask of so many pixels square would take a terabyte.
const MOST_SIDE: u32 = 1 << 20;

/// An 8-bit TIFF file of any size, looked at region by region.
///
/// Beside a region it holds the strips or tiles that were decoded last, within half of
/// [`Limits::max_decoded_bytes`]. Regions are best asked for row by row, from the top.
pub struct TiffRegions {
    path: PathBuf,
    size: (u32, u32),
    info: FileInfo,
    /// Width and height of a strip, or of a tile with its padding.
    chunk: (u32, u32),
    budget: u64,
    work: Mutex<Work>,
}

struct Work {
    decoder: Decoder<BufReader<File>>,
    /// The file's length.
    file_bytes: usize,
    color: ColorType,
    /// Decoded strips or tiles as RGB, by their number; numbers grow downwards.
    kept: BTreeMap<u32, Vec<u8>>,
    bytes: u64,
}

impl TiffRegions {
    /// Opens the first page of a TIFF file; `None` where the file is no TIFF.
    ///
    /// # Errors
    /// [`Error::Read`], and [`Error::InFile`] where the file is damaged, has other than 8 bits a sample, or has strips or
    /// tiles that are over the limits by themselves.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Option<Self>, Error> {
        let path = path.as_ref();
        let refuse = |error| Error::Read { path: path.to_owned(), reason: IoReason(error) };
        let mut file = File::open(path).map_err(refuse)?;
        let mut head = [0; 8];
        let is_tiff =
            file.read_exact(&mut head).is_ok() && Format::sniff(&head) == Some(Format::Tiff);
        if !is_tiff {
            return Ok(None);
        }
        file.rewind().map_err(refuse)?;
        let bytes = file.metadata().map_err(refuse)?.len() as usize;
        Self::of(file, bytes, path, limits).map(Some).map_err(|error| error.in_file(path))
    }

    fn of(file: File, file_bytes: usize, path: &Path, limits: &Limits) -> Result<Self, Error> {
        let failed = |error: TiffError| describe(error, file_bytes);
        let decoder = Decoder::new(BufReader::new(file)).map_err(failed)?;
        let mut decoder = decoder.with_limits(allowed(limits));
        let size = decoder.dimensions().map_err(failed)?;
        let color = decoder.colortype().map_err(failed)?;
        let model = match color {
            ColorType::Gray(8) | ColorType::GrayA(8) => ColorModel::Gray,
            ColorType::RGB(8) | ColorType::RGBA(8) | ColorType::YCbCr(8) => ColorModel::Rgb,
            other => {
                return Err(unsupported(format!(
                    "pixels as {other:?}: region by region only 8-bit gray and colour are read"
                )));
            }
        };
        super::check_planes(&mut decoder, color, file_bytes)?;
        if size.0 == 0 || size.1 == 0 {
            return Err(Error::Empty { width: size.0, height: size.1 });
        }
        if size.0.max(size.1) > MOST_SIDE {
            return Err(Error::OverLimit {
                claim: format!("the TIFF claims {}×{} pixels", size.0, size.1),
                limit: format!("{} pixels a side", grouped(MOST_SIDE.into())),
            });
        }
        let mut chunk = decoder.chunk_dimensions();
        if decoder.get_chunk_type() == ChunkType::Strip {
            // A strip of all rows may state any number of them; 2³² − 1 is what TIFF takes for granted.
            chunk.1 = chunk.1.min(size.1);
        }
        let bytes = u64::from(chunk.0) * u64::from(chunk.1) * 3;
        if bytes > limits.max_decoded_bytes {
            return Err(Error::OverLimit {
                claim: format!(
                    "one strip or tile of the TIFF, {}×{} pixels, needs {} bytes of memory",
                    chunk.0,
                    chunk.1,
                    grouped(bytes)
                ),
                limit: format!("{} bytes", grouped(limits.max_decoded_bytes)),
            });
        }
        let mut info = FileInfo::new(Source { format: Format::Tiff, color: model, bits: 8 });
        info.pixel_spacing = spacing(&mut decoder);
        if decoder.more_images() {
            info.warnings.push(super::FIRST_PAGE.into());
        }
        let work = Work { decoder, file_bytes, color, kept: BTreeMap::new(), bytes: 0 };
        let budget = limits.max_decoded_bytes / 2;
        Ok(Self { path: path.to_owned(), size, info, chunk, budget, work: Mutex::new(work) })
    }

    /// The picture without its pixels: its size and resolution, for what is found in it.
    pub fn outline(&self) -> Volume {
        Volume::outline(self.size.0, self.size.1, self.info.clone())
    }
}

impl Regions for TiffRegions {
    fn dimensions(&self) -> (u32, u32) {
        self.size
    }

    fn region(&self, region: Region) -> Result<Picture, Error> {
        region.check(self.size)?;
        let in_file = |error: Error| error.in_file(&self.path);
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let (width, height) = self.chunk;
        let across = self.size.0.div_ceil(width);
        let line = region.width as usize * 3;
        let mut pixels = vec![0; line * region.height as usize];
        for row in region.y / height..=(region.y + region.height - 1) / height {
            for column in region.x / width..=(region.x + region.width - 1) / width {
                let (left, top) = (column * width, row * height);
                let chunk = work.chunk(row * across + column).map_err(in_file)?;
                // A chunk at the right or lower border ends with the picture.
                let chunk_line = width.min(self.size.0 - left) as usize * 3;
                let from = (region.x.max(left), region.y.max(top));
                let to = (
                    (region.x + region.width).min(left + width),
                    (region.y + region.height).min(top + height),
                );
                let bytes = (to.0 - from.0) as usize * 3;
                for y in from.1..to.1 {
                    let source = (y - top) as usize * chunk_line + (from.0 - left) as usize * 3;
                    let into = (y - region.y) as usize * line + (from.0 - region.x) as usize * 3;
                    let taken =
                        chunk.get(source..source + bytes).ok_or_else(|| in_file(short()))?;
                    pixels[into..into + bytes].copy_from_slice(taken);
                }
            }
        }
        work.forget(self.budget);
        Picture::from_rgb(region.width, region.height, pixels)
    }
}

impl Work {
    fn chunk(&mut self, number: u32) -> Result<&[u8], Error> {
        if !self.kept.contains_key(&number) {
            let read = self.decoder.read_chunk(number);
            let read = read.map_err(|error| describe(error, self.file_bytes))?;
            let rgb = to_rgb(high_bytes(read)?, self.color);
            self.bytes += rgb.len() as u64;
            self.kept.insert(number, rgb);
        }
        self.kept.get(&number).map(Vec::as_slice).ok_or_else(short)
    }

    /// Forgets what lies highest until the budget is kept.
    fn forget(&mut self, budget: u64) {
        while self.bytes > budget
            && let Some((_, rgb)) = self.kept.pop_first()
        {
            self.bytes -= rgb.len() as u64;
        }
    }
}

fn short() -> Error {
    let detail = "a strip or tile has fewer pixels than its size needs".into();
    Error::Damaged { format: Format::Tiff, detail }
}

impl std::fmt::Debug for TiffRegions {
    /// The size; never the pixels or the name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TiffRegions").field("size", &self.size).finish_non_exhaustive()
    }
}
