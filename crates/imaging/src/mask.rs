//! The mask: what the model answers.

use std::path::Path;

use crate::error::check_length;
use crate::files::write_atomic;
use crate::{Error, Limits, read, write};

/// One byte a pixel: 255 for foreground, 0 for background.
///
/// A byte rather than a bit, because that is what the wire contract sends and what PNG rows, NumPy arrays and label maps
/// are made of; a bitmap would be unpacked at every use.
///
/// ```
/// use medparse_imaging::{BoundingBox, Mask};
///
/// # fn main() -> Result<(), medparse_imaging::Error> {
/// let mask = Mask::from_probabilities(3, 2, &[0.1, 0.9, 0.8, 0.5, 0.2, 0.7], 0.5)?;
/// assert_eq!(mask.pixels(), [0, 255, 255, 0, 0, 255]);
/// assert_eq!(mask.area(), 3);
/// assert_eq!(mask.bounding_box(), Some(BoundingBox { x: 1, y: 0, width: 2, height: 2 }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// The smallest upright rectangle around a mask's foreground, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BoundingBox {
    /// The leftmost column.
    pub x: u32,
    /// The topmost row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Mask {
    /// A mask of `[height, width]` pixels; every nonzero byte is foreground.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::WrongLength`].
    pub fn from_pixels(width: u32, height: u32, mut pixels: Vec<u8>) -> Result<Self, Error> {
        check_length("mask pixels", (width, height), 1, pixels.len())?;
        for pixel in &mut pixels {
            *pixel = to_byte(*pixel != 0);
        }
        Ok(Self { width, height, pixels })
    }

    /// Foreground wherever one of `[height, width]` probabilities is strictly greater than the threshold (never for NaN).
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::WrongLength`].
    pub fn from_probabilities(
        width: u32,
        height: u32,
        probabilities: &[f32],
        threshold: f32,
    ) -> Result<Self, Error> {
        check_length("probabilities", (width, height), 1, probabilities.len())?;
        let pixels =
            probabilities.iter().map(|probability| to_byte(*probability > threshold)).collect();
        Ok(Self { width, height, pixels })
    }

    /// A mask without foreground.
    ///
    /// # Errors
    /// [`Error::Empty`].
    pub fn empty(width: u32, height: u32) -> Result<Self, Error> {
        Self::from_pixels(width, height, vec![0; width as usize * height as usize])
    }

    /// Decodes a mask PNG of any colour type: every pixel that is not black is foreground, at the file's full bit depth;
    /// alpha is ignored.
    ///
    /// # Errors
    /// As [`Picture::decode`](crate::Picture::decode); a JPEG is refused, because its losses blur the edge.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        read::mask(bytes, limits)
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

    /// `[height, width]`, 0 or 255.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels alone, `[height, width]`, 0 or 255.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Whether a pixel is foreground; `false` outside the mask.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        x < self.width && self.rows().nth(y as usize).is_some_and(|row| row[x as usize] != 0)
    }

    /// Foreground pixels.
    pub fn area(&self) -> u64 {
        self.rows().map(foreground).sum()
    }

    /// Whether there is no foreground.
    pub fn is_empty(&self) -> bool {
        self.pixels.iter().all(|pixel| *pixel == 0)
    }

    /// The rectangle around the foreground; `None` for an empty mask.
    pub fn bounding_box(&self) -> Option<BoundingBox> {
        let mut rows = None;
        let (mut left, mut right) = (usize::MAX, 0);
        for (y, row) in self.rows().enumerate() {
            let Some(first) = row.iter().position(|pixel| *pixel != 0) else {
                continue;
            };
            let last = row.iter().rposition(|pixel| *pixel != 0).unwrap_or(first);
            (left, right) = (left.min(first), right.max(last));
            rows = Some((rows.map_or(y, |(top, _)| top), y));
        }
        let (top, bottom) = rows?;
        Some(BoundingBox {
            x: left as u32,
            y: top as u32,
            width: (right - left + 1) as u32,
            height: (bottom - top + 1) as u32,
        })
    }

    /// The mean `(x, y)` of the foreground's pixel centres, where the first pixel's centre is (0, 0); `None` for an empty
    /// mask.
    pub fn centroid(&self) -> Option<(f64, f64)> {
        let (mut area, mut sum_x, mut sum_y) = (0u64, 0u64, 0u64);
        for (y, row) in self.rows().enumerate() {
            let count = foreground(row);
            if count == 0 {
                continue;
            }
            area += count;
            sum_y += count * y as u64;
            sum_x += row
                .iter()
                .enumerate()
                .filter(|(_, pixel)| **pixel != 0)
                .map(|(x, _)| x as u64)
                .sum::<u64>();
        }
        (area > 0).then(|| (sum_x as f64 / area as f64, sum_y as f64 / area as f64))
    }

    /// Intersection over union with another mask of the same size, 0..=1; 1 when both are empty.
    ///
    /// # Errors
    /// [`Error::SizesDiffer`].
    ///
    /// ```
    /// # fn main() -> Result<(), medparse_imaging::Error> {
    /// use medparse_imaging::Mask;
    /// let ours = Mask::from_pixels(4, 1, vec![255, 255, 0, 0])?;
    /// let theirs = Mask::from_pixels(4, 1, vec![0, 255, 255, 0])?;
    /// assert_eq!(ours.iou(&theirs)?, 1.0 / 3.0);
    /// assert_eq!(ours.dice(&theirs)?, 0.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn iou(&self, other: &Self) -> Result<f64, Error> {
        let overlap = self.overlap(other)?;
        Ok(ratio(overlap, self.area() + other.area() - overlap))
    }

    /// The Dice coefficient with another mask of the same size, 0..=1; 1 when both are empty.
    ///
    /// # Errors
    /// [`Error::SizesDiffer`].
    pub fn dice(&self, other: &Self) -> Result<f64, Error> {
        Ok(ratio(2 * self.overlap(other)?, self.area() + other.area()))
    }

    fn overlap(&self, other: &Self) -> Result<u64, Error> {
        if self.dimensions() != other.dimensions() {
            return Err(Error::SizesDiffer {
                what: "two masks were compared".into(),
                expected: self.dimensions(),
                found: other.dimensions(),
            });
        }
        let both = self.pixels.iter().zip(&other.pixels);
        Ok(both.map(|(ours, theirs)| u64::from(ours & theirs & 1)).sum())
    }

    /// An 8-bit gray PNG, 0 and 255, compressed fast rather than hard (about 0.1 ms for 1024²).
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode_png(&self) -> Result<Vec<u8>, Error> {
        write::png::mask(self)
    }

    /// A 1-bit gray PNG.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode_bilevel_png(&self) -> Result<Vec<u8>, Error> {
        write::png::bilevel(self)
    }

    /// Writes [`encode_png`](Self::encode_png) by [`write_atomic`].
    ///
    /// # Errors
    /// [`Error::Encode`] or [`Error::Write`].
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_atomic(path, &self.encode_png()?)
    }

    pub(crate) fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.pixels.chunks_exact(self.width as usize)
    }
}

impl std::fmt::Debug for Mask {
    /// Size and area; never the pixels, which may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mask")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("area", &self.area())
            .finish_non_exhaustive()
    }
}

fn to_byte(foreground: bool) -> u8 {
    if foreground { 255 } else { 0 }
}

/// Foreground pixels of a row, counted in 32 bits so that the loop vectorises.
fn foreground(row: &[u8]) -> u64 {
    row.iter().map(|pixel| u32::from(pixel & 1)).sum::<u32>().into()
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(width: u32, rows: &[&str]) -> Mask {
        let pixels = rows.concat().bytes().map(|byte| u8::from(byte == b'#')).collect();
        Mask::from_pixels(width, rows.len() as u32, pixels).unwrap()
    }

    #[test]
    fn measures() {
        struct Case {
            mask: Mask,
            area: u64,
            bounds: Option<(u32, u32, u32, u32)>,
            centroid: Option<(f64, f64)>,
        }
        let cases = [
            Case { mask: mask(3, &["...", "..."]), area: 0, bounds: None, centroid: None },
            Case {
                mask: mask(1, &["#"]),
                area: 1,
                bounds: Some((0, 0, 1, 1)),
                centroid: Some((0.0, 0.0)),
            },
            Case {
                mask: mask(5, &[".....", "..##.", "..##.", "....."]),
                area: 4,
                bounds: Some((2, 1, 2, 2)),
                centroid: Some((2.5, 1.5)),
            },
            Case {
                mask: mask(4, &["#...", "....", "...#"]),
                area: 2,
                bounds: Some((0, 0, 4, 3)),
                centroid: Some((1.5, 1.0)),
            },
        ];
        for Case { mask, area, bounds, centroid } in cases {
            assert_eq!(mask.area(), area);
            assert_eq!(mask.is_empty(), area == 0);
            assert_eq!(mask.bounding_box().map(|b| (b.x, b.y, b.width, b.height)), bounds);
            assert_eq!(mask.centroid(), centroid);
        }
    }

    #[test]
    fn the_threshold_is_strict_and_nan_is_background() {
        let mask = Mask::from_probabilities(4, 1, &[0.5, 0.500_000_1, f32::NAN, 1.0], 0.5).unwrap();
        assert_eq!(mask.pixels(), [0, 255, 0, 255]);
    }

    #[test]
    fn agreement_of_empty_masks_is_full() {
        let (empty, dot) = (mask(2, &[".."]), mask(2, &["#."]));
        assert_eq!((empty.iou(&empty).unwrap(), empty.dice(&empty).unwrap()), (1.0, 1.0));
        assert_eq!((empty.iou(&dot).unwrap(), empty.dice(&dot).unwrap()), (0.0, 0.0));
    }

    #[test]
    fn misfits_are_named() {
        let sentence = |error: Error| error.to_string();
        assert_eq!(
            sentence(Mask::from_pixels(2, 2, vec![0; 3]).unwrap_err()),
            "mask pixels of 2×2 pixels need 4 values, found 3"
        );
        assert_eq!(
            sentence(mask(2, &[".."]).dice(&mask(1, &["."])).unwrap_err()),
            "two masks were compared: expected 2×1 pixels, found 1×1"
        );
        assert!(matches!(Mask::empty(0, 3), Err(Error::Empty { width: 0, height: 3 })));
    }

    #[test]
    fn every_row_of_a_large_mask_counts() {
        let full = Mask::from_pixels(70_000, 3, vec![9; 210_000]).unwrap();
        assert_eq!(full.area(), 210_000);
        assert_eq!(full.centroid(), Some((34_999.5, 1.0)));
        assert!(full.contains(69_999, 2) && !full.contains(70_000, 2) && !full.contains(0, 3));
    }
}
