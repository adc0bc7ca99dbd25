//! The square picture that clients of an endpoint send, and the way back from it.
//!
//! BiomedParse's documentation pads pictures with black and resizes them to 1024 × 1024 before they are sent; what comes
//! back lies on that square. [`prepare`] does the first, [`WayBack`] the second.

use medparse_imaging::{Mask, Picture};
use serde::{Deserialize, Serialize};

use crate::picture::{RgbView, ShapeError, Size};
use crate::preprocess::{Fit, Placement, resize_placed};

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareOptions {
    /// Side of the square in pixels, at least 1.
    pub side: u32,
    /// What is done about pictures that are not square.
    pub fit: Fit,
}

impl Default for PrepareOptions {
    /// 1024 pixels, padded.
    fn default() -> Self {
        Self { side: 1024, fit: Fit::Pad }
    }
}

/// A square, and the way back from it.
#[derive(Clone)]
pub struct Prepared {
    /// The square.
    pub picture: Picture,
    /// Where the picture lies on it.
    pub way_back: WayBack,
}

/// Where a picture lies on its square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The picture's own size.
    pub width: u32,
    /// The picture's own size.
    pub height: u32,
    /// Width and height, in the picture's own pixels, of what was resized to the square.
    pub canvas: [u32; 2],
    /// The canvas column of the picture's first column.
    pub left: u32,
    /// The canvas row of the picture's first row.
    pub top: u32,
    /// The side of the square in pixels.
    pub side: u32,
}

/// Why there is no way to or from a square.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The picture or the square has no pixels.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The pixels can't be made a picture or a mask.
    #[error(transparent)]
    Picture(#[from] medparse_imaging::Error),
    /// The mask is not of the square.
    #[error("expected a mask of {side}×{side} pixels, found {}×{}", found.0, found.1)]
    NotTheSquare {
        /// The square's side.
        side: u32,
        /// The mask's size.
        found: (u32, u32),
    },
    /// The numbers of a way back contradict each other.
    #[error(
        "a picture of {}×{} pixels at {},{} does not lie on a canvas of {}×{}",
        way.width, way.height, way.left, way.top, way.canvas[0], way.canvas[1]
    )]
    NoWay {
        /// The numbers.
        way: WayBack,
    },
}

/// Pads and resizes a picture to a square, by Pillow's bicubic filter.
///
/// ```
/// use medparse::prepare::{PrepareOptions, prepare};
/// use medparse_imaging::{Mask, procedural};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scene = procedural::cells(300, 200, 1)?;
/// let prepared = prepare(&scene.picture, PrepareOptions::default())?;
/// assert_eq!(prepared.picture.dimensions(), (1024, 1024));
/// // 50 rows of black above and below.
/// assert_eq!((prepared.way_back.left, prepared.way_back.top), (0, 50));
///
/// // A mask of the square comes back at the picture's own size.
/// let answer = Mask::from_pixels(1024, 1024, vec![255; 1024 * 1024])?;
/// let mask = prepared.way_back.undo(&answer)?;
/// assert_eq!((mask.dimensions(), mask.area()), ((300, 200), 300 * 200));
///
/// // And so does a point: the middle of the square is the middle of the picture.
/// assert_eq!(prepared.way_back.point([512.0, 512.0]), [150.0, 100.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`PrepareError::Shape`] where the picture or the square has no pixels.
pub fn prepare(picture: &Picture, options: PrepareOptions) -> Result<Prepared, PrepareError> {
    let (width, height) = picture.dimensions();
    let view = RgbView::of(picture)?;
    let placement = Placement::new(options.fit, view.size());
    let square = Size::square(options.side as usize);
    if options.side == 0 {
        return Err(ShapeError::Empty(square).into());
    }
    let pixels = resize_placed(&view, &placement, square);
    let Size { width: canvas_width, height: canvas_height } = placement.canvas();
    let way_back = WayBack {
        width,
        height,
        canvas: [canvas_width as u32, canvas_height as u32],
        left: placement.left() as u32,
        top: placement.top() as u32,
        side: options.side,
    };
    Ok(Prepared { picture: Picture::from_rgb(options.side, options.side, pixels)?, way_back })
}

impl WayBack {
    /// Brings a mask of the square to the picture's own pixels, each taking the nearest of the square's.
    ///
    /// # Errors
    /// [`PrepareError::NotTheSquare`] where the mask is not of the square, [`PrepareError::NoWay`] where the numbers
    /// contradict each other.
    pub fn undo(&self, mask: &Mask) -> Result<Mask, PrepareError> {
        if mask.dimensions() != (self.side, self.side) {
            return Err(PrepareError::NotTheSquare { side: self.side, found: mask.dimensions() });
        }
        let fits = |start: u32, length: u32, canvas: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= canvas)
        };
        if !fits(self.left, self.width, self.canvas[0])
            || !fits(self.top, self.height, self.canvas[1])
        {
            return Err(PrepareError::NoWay { way: *self });
        }
        let at = |index: u32, canvas: u32| {
            let (index, side) = (u64::from(index), u64::from(self.side));
            ((2 * index + 1) * side / (2 * u64::from(canvas))).min(side - 1) as usize
        };
        let columns: Vec<usize> =
            (0..self.width).map(|x| at(x + self.left, self.canvas[0])).collect();
        let rows = mask.pixels().chunks_exact(self.side as usize).collect::<Vec<_>>();
        let pixels = (0..self.height).flat_map(|y| {
            let row = rows[at(y + self.top, self.canvas[1])];
            columns.iter().map(move |column| row[*column])
        });
        Ok(Mask::from_pixels(self.width, self.height, pixels.collect())?)
    }

    /// Brings a point of the square to the picture's pixels; 0, 0 is the left upper corner of both.
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let back = |at: f64, canvas: u32, start: u32| {
            at * f64::from(canvas) / f64::from(self.side) - f64::from(start)
        };
        [back(x, self.canvas[0], self.left), back(y, self.canvas[1], self.top)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_on_the_square_is_the_one_that_was_prepared() {
        for fit in [Fit::Pad, Fit::Stretch] {
            for (width, height) in [(64, 41), (7, 64), (33, 33), (1, 64)] {
                // A mask as a picture: black and white squares of eight pixels.
                let lit = |x: u32, y: u32| (x / 8 + y / 8).is_multiple_of(2);
                let pixels: Vec<u8> = (0..height)
                    .flat_map(|y| (0..width).map(move |x| (x, y)))
                    .map(|(x, y)| if lit(x, y) { 255 } else { 0 })
                    .collect();
                let rgb = pixels.iter().flat_map(|value| [*value; 3]).collect();
                let picture = Picture::from_rgb(width, height, rgb).unwrap();
                let prepared = prepare(&picture, PrepareOptions { side: 256, fit }).unwrap();
                let square = prepared.picture.pixels().iter().step_by(3);
                let square = square.map(|value| u8::from(*value > 127)).collect();
                let square = Mask::from_pixels(256, 256, square).unwrap();
                let back = prepared.way_back.undo(&square).unwrap();
                assert_eq!(back.pixels(), pixels, "{fit:?} {width}×{height}");
            }
        }
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let sound = WayBack { width: 3, height: 2, canvas: [3, 3], left: 0, top: 0, side: 8 };
        let mask = Mask::empty(8, 8).unwrap();
        assert!(sound.undo(&mask).is_ok());
        for way in [
            WayBack { left: 1, ..sound },
            WayBack { left: u32::MAX, ..sound },
            WayBack { height: 0, ..sound },
            WayBack { canvas: [0, 0], ..sound },
        ] {
            assert!(matches!(way.undo(&mask), Err(PrepareError::NoWay { .. })), "{way:?}");
        }
        let sentence = sound.undo(&Mask::empty(8, 7).unwrap()).unwrap_err().to_string();
        assert_eq!(sentence, "expected a mask of 8×8 pixels, found 8×7");
    }
}
