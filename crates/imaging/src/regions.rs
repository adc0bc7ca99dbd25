//! Pictures that are looked at region by region.

use crate::{Error, Mask, Picture};

/// An upright rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The left column, from 0.
    pub x: u32,
    /// The top row, from 0.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

/// A picture whose pixels may be too many to hold at once.
pub trait Regions: Sync {
    /// Width and height in pixels.
    fn dimensions(&self) -> (u32, u32);

    /// The pixels of a region.
    ///
    /// # Errors
    /// [`Error::SizesDiffer`] where the region is not within the picture; whatever reading it may meet.
    fn region(&self, region: Region) -> Result<Picture, Error>;
}

impl Region {
    /// Holds the region against a picture's size.
    pub(crate) fn check(self, size: (u32, u32)) -> Result<(), Error> {
        let end = (self.x.saturating_add(self.width), self.y.saturating_add(self.height));
        if self.width == 0 || self.height == 0 || end.0 > size.0 || end.1 > size.1 {
            let what = "the region does not lie within the picture".to_owned();
            return Err(Error::SizesDiffer { what, expected: size, found: end });
        }
        Ok(())
    }
}

impl Regions for Picture {
    fn dimensions(&self) -> (u32, u32) {
        Picture::dimensions(self)
    }

    fn region(&self, region: Region) -> Result<Picture, Error> {
        region.check(Picture::dimensions(self))?;
        let [x, width] = [region.x, region.width].map(|pixels| pixels as usize * 3);
        let rows = self.pixels().chunks_exact(self.width() as usize * 3);
        let rows = rows.skip(region.y as usize).take(region.height as usize);
        let pixels = rows.flat_map(|row| &row[x..x + width]).copied().collect();
        Picture::from_rgb(region.width, region.height, pixels)
    }
}

/// A picture and masks on it, so far reduced by a whole number that the longer side is at most `most` pixels: colours are
/// averaged, and a pixel belongs to a mask where half of what it stands for does.
///
/// Beside the result one stripe of the picture is held.
///
/// # Errors
/// [`Error::SizesDiffer`] where a mask does not have the picture's size; whatever reading a region may meet.
///
/// ```
/// use medparse_imaging::{procedural, reduced};
///
/// # fn main() -> Result<(), medparse_imaging::Error> {
/// let scene = procedural::cells(400, 100, 1)?;
/// let (picture, masks) = reduced(&scene.picture, &[&scene.targets[0].mask], 100)?;
/// assert_eq!(picture.dimensions(), (100, 25));
/// assert_eq!(masks[0].dimensions(), (100, 25));
/// # Ok(())
/// # }
/// ```
pub fn reduced(
    picture: &dyn Regions,
    masks: &[&Mask],
    most: u32,
) -> Result<(Picture, Vec<Mask>), Error> {
    let (width, height) = picture.dimensions();
    if let Some(mask) = masks.iter().find(|mask| mask.dimensions() != (width, height)) {
        let what = "the mask does not fit the picture".to_owned();
        return Err(Error::SizesDiffer {
            what,
            expected: (width, height),
            found: mask.dimensions(),
        });
    }
    let factor = width.max(height).div_ceil(most.max(1)).max(1);
    let (columns, rows) = (width.div_ceil(factor), height.div_ceil(factor));
    let mut pixels = Vec::with_capacity(columns as usize * rows as usize * 3);
    for row in 0..rows {
        let y = row * factor;
        let stripe = Region { x: 0, y, width, height: factor.min(height - y) };
        let stripe = picture.region(stripe)?;
        let averages = means(stripe.pixels(), width as usize, factor as usize, 3);
        pixels.extend(averages.into_iter().map(|mean| mean.round() as u8));
    }
    let reduced = masks.iter().map(|mask| {
        let stripes = mask.pixels().chunks(width as usize * factor as usize);
        let lit = stripes.flat_map(|stripe| means(stripe, width as usize, factor as usize, 1));
        Mask::from_pixels(columns, rows, lit.map(|mean| u8::from(mean >= 127.5)).collect())
    });
    Ok((Picture::from_rgb(columns, rows, pixels)?, reduced.collect::<Result<_, _>>()?))
}

/// The means of the squares of `side` pixels along a stripe, its last one cut off where the stripe ends.
fn means(stripe: &[u8], width: usize, side: usize, channels: usize) -> Vec<f32> {
    let columns = width.div_ceil(side);
    let mut sums = vec![0_u32; columns * channels];
    for row in stripe.chunks_exact(width * channels) {
        for (squares, sums) in row.chunks(side * channels).zip(sums.chunks_exact_mut(channels)) {
            for pixel in squares.chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*value);
                }
            }
        }
    }
    let rows = stripe.len() / (width * channels);
    let pixels = |column: usize| (side.min(width - column * side) * rows) as f32;
    let mean = |(at, sum): (usize, &u32)| *sum as f32 / pixels(at / channels);
    sums.iter().enumerate().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_cut_out() {
        let pixels: Vec<u8> = (0..4 * 3 * 3).collect();
        let picture = Picture::from_rgb(4, 3, pixels).unwrap();
        let cut = picture.region(Region { x: 2, y: 1, width: 2, height: 2 }).unwrap();
        assert_eq!(cut.pixels(), [18, 19, 20, 21, 22, 23, 30, 31, 32, 33, 34, 35]);
        for (x, width) in [(3, 2), (0, 0), (u32::MAX, 1)] {
            assert!(picture.region(Region { x, y: 0, width, height: 1 }).is_err());
        }
    }

    #[test]
    fn a_mean_stands_for_its_square_even_at_the_border() {
        let gray = [10, 20, 90, 30, 40, 70, 5, 5, 1];
        let picture = Picture::from_rgb(3, 3, gray.iter().flat_map(|g| [*g; 3]).collect()).unwrap();
        let mask = Mask::from_pixels(3, 3, vec![1, 1, 0, 0, 0, 1, 0, 0, 1]).unwrap();
        let (small, masks) = reduced(&picture, &[&mask], 2).unwrap();
        assert_eq!(small.pixels().iter().step_by(3).copied().collect::<Vec<_>>(), [25, 80, 5, 1]);
        assert_eq!(masks[0].pixels(), [255, 255, 0, 255]);
        assert!(reduced(&picture, &[&Mask::empty(2, 3).unwrap()], 2).is_err());
    }
}
