//! Pixels as this crate takes and gives them: plain slices with a size.

use medparse_imaging::Picture;

/// Width and height in pixels (or cells of a map).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A square of `side` by `side`.
    pub fn square(side: usize) -> Self {
        Self { width: side, height: side }
    }

    /// How many pixels that is, or `None` where the number does not fit.
    pub fn area(self) -> Option<usize> {
        self.width.checked_mul(self.height)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} x {}", self.width, self.height)
    }
}

/// Why a slice is not the picture or map it is said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A picture without pixels.
    #[error("a picture of {0} pixels is empty; expected at least 1 x 1")]
    Empty(Size),
    /// The slice is too long or too short.
    #[error("expected {expected} values for {size} with {channels} channel(s), found {found}")]
    Length {
        /// The size that was given.
        size: Size,
        /// Values a pixel.
        channels: usize,
        /// `width * height * channels`; `usize::MAX` where that does not fit.
        expected: usize,
        /// The length of the slice.
        found: usize,
    },
}

/// Checks that `found` values are exactly a picture of `size` with `channels` values a pixel.
fn check(size: Size, channels: usize, found: usize) -> Result<(), ShapeError> {
    let expected = size.area().and_then(|area| area.checked_mul(channels)).unwrap_or(usize::MAX);
    match expected {
        0 => Err(ShapeError::Empty(size)),
        _ if expected == found => Ok(()),
        _ => Err(ShapeError::Length { size, channels, expected, found }),
    }
}

/// A borrowed 8-bit RGB picture: rows from the top, three bytes a pixel, no padding.
#[derive(Clone, Copy, Debug)]
pub struct RgbView<'a> {
    size: Size,
    pixels: &'a [u8],
}

impl<'a> RgbView<'a> {
    /// Takes `pixels` as a picture of `size`.
    ///
    /// # Errors
    /// [`ShapeError`] where the picture is empty or the slice has another length.
    pub fn new(size: Size, pixels: &'a [u8]) -> Result<Self, ShapeError> {
        check(size, 3, pixels.len())?;
        Ok(Self { size, pixels })
    }

    /// The pixels of a picture.
    ///
    /// # Errors
    /// [`ShapeError::Empty`] where the picture has none.
    pub fn of(picture: &'a Picture) -> Result<Self, ShapeError> {
        let (width, height) = picture.dimensions();
        Self::new(Size { width: width as usize, height: height as usize }, picture.pixels())
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The bytes, `height * width * 3` of them.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }
}

/// A borrowed map of one `f32` a cell, rows from the top: mask logits, probabilities.
#[derive(Clone, Copy, Debug)]
pub struct MapView<'a> {
    size: Size,
    values: &'a [f32],
}

impl<'a> MapView<'a> {
    /// Takes `values` as a map of `size`.
    ///
    /// # Errors
    /// [`ShapeError`] where the map is empty or the slice has another length.
    pub fn new(size: Size, values: &'a [f32]) -> Result<Self, ShapeError> {
        check(size, 1, values.len())?;
        Ok(Self { size, values })
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The values, `height * width` of them.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_are_refused() {
        let size = Size { width: 2, height: 3 };
        assert!(RgbView::new(size, &[0; 18]).is_ok());
        assert_eq!(
            RgbView::new(size, &[0; 17]).unwrap_err().to_string(),
            "expected 18 values for 2 x 3 with 3 channel(s), found 17"
        );
        assert_eq!(
            MapView::new(Size { width: 0, height: 3 }, &[]).unwrap_err().to_string(),
            "a picture of 0 x 3 pixels is empty; expected at least 1 x 1"
        );
        let endless = Size::square(usize::MAX);
        assert!(matches!(RgbView::new(endless, &[]), Err(ShapeError::Length { .. })));
    }
}
