//! How a picture of any shape becomes the model's square, and back.

use super::taps::Span;
use crate::picture::Size;

/// How a picture that is not square becomes one; a property of the model, which learnt from such
/// pictures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Width and height are scaled each by itself, as the reference does.
    #[default]
    Stretch,
    /// The shorter side gets black (0) on both ends first, so that shapes are kept.
    Pad,
}

/// Where a picture lies on the canvas that is resized to the model's square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    picture: Size,
    canvas: Size,
    left: usize,
    top: usize,
}

impl Placement {
    /// Places a picture of size `picture` as `fit` says; an odd pixel of padding goes right or
    /// below.
    pub fn new(fit: Fit, picture: Size) -> Self {
        match fit {
            Fit::Stretch => Self::stretched(picture),
            Fit::Pad => {
                let side = picture.width.max(picture.height);
                Self {
                    picture,
                    canvas: Size::square(side),
                    left: (side - picture.width) / 2,
                    top: (side - picture.height) / 2,
                }
            }
        }
    }

    /// A picture that is its own canvas.
    pub fn stretched(picture: Size) -> Self {
        Self { picture, canvas: picture, left: 0, top: 0 }
    }

    /// The size of the picture, in its own pixels.
    pub fn picture(&self) -> Size {
        self.picture
    }

    /// The size of the canvas, in the picture's pixels.
    pub fn canvas(&self) -> Size {
        self.canvas
    }

    /// The canvas column of the picture's first column.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The canvas row of the picture's first row.
    pub fn top(&self) -> usize {
        self.top
    }

    pub(super) fn columns(&self) -> Span {
        Span { offset: self.left, axis: self.canvas.width }
    }

    pub(super) fn rows(&self) -> Span {
        Span { offset: self.top, axis: self.canvas.height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_centres_the_picture() {
        let wide = Placement::new(Fit::Pad, Size { width: 7, height: 4 });
        assert_eq!((wide.canvas(), wide.left(), wide.top()), (Size::square(7), 0, 1));
        let square = Size::square(5);
        assert_eq!(Placement::new(Fit::Pad, square), Placement::new(Fit::Stretch, square));
    }
}
