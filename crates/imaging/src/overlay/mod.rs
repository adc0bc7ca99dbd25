//! The picture with its masks drawn over it, for people.

mod canvas;
mod inscription;
mod legend;
mod outline;
mod palette;
mod text;

pub(crate) use inscription::Inscription;
pub use palette::{PALETTE, Rgb};

use crate::{Error, Mask, Picture};
use canvas::Canvas;
use outline::Stroke;

/// One mask to draw, and what the legend says of it.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    label: &'a str,
    mask: &'a Mask,
    extent: Option<String>,
    note: Option<String>,
    color: Option<Rgb>,
}

impl<'a> Layer<'a> {
    /// A layer in the colour of its place in the list, [`PALETTE`] in turn.
    pub fn new(label: &'a str, mask: &'a Mask) -> Self {
        Self { label, mask, extent: None, note: None, color: None }
    }

    /// Says how much there is, such as `2.94 mL`, in place of the mask's pixels: where the picture shows only a part.
    #[must_use]
    pub fn with_extent(mut self, extent: impl Into<String>) -> Self {
        self.extent = Some(extent.into());
        self
    }

    /// Adds a note that the legend shows after the area, such as `p 0.93`.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Chooses the colour.
    #[must_use]
    pub fn with_color(mut self, color: Rgb) -> Self {
        self.color = Some(color);
        self
    }
}

/// How an overlay looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayStyle {
    /// How much of a layer's colour covers the picture, 0..=1; 0.28 by default. Outlines always cover it.
    pub fill_opacity: f32,
    /// Whether there is a legend; [`Legend::Below`] by default.
    pub legend: Legend,
    /// Whether small pictures grow; [`Enlargement::Readable`] by default.
    pub enlargement: Enlargement,
    /// How wide outlines are; [`Outline::Proportional`] by default.
    pub outline: Outline,
}

/// How wide outlines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outline {
    /// As wide as the picture's size asks for, so that a few objects stand out.
    Proportional,
    /// As fine as can be seen: for pictures with thousands of small objects.
    Fine,
}

/// Where the legend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legend {
    /// A strip below the picture, which is centred over it where the strip must be wider.
    Below,
    /// No legend.
    None,
}

/// What is done about pictures too small for lines and letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enlargement {
    /// Every pixel becomes a square of the smallest whole size that makes the longer side at least 512.
    Readable,
    /// The picture keeps its size.
    None,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self {
            fill_opacity: 0.28,
            legend: Legend::Below,
            enlargement: Enlargement::Readable,
            outline: Outline::Proportional,
        }
    }
}

/// Draws translucent fills, outlines and a legend. Later layers lie over earlier ones; all outlines lie over all fills.
///
/// An outline lies just inside its mask, as wide as the style asks for, with a thin dark line around it that sets it off
/// from any background. The legend has an entry a layer in the order given: colour, label, area in pixels (or the layer's
/// own word for its extent) and note; an empty mask is listed as "not found". Labels too long for the strip end in an
/// ellipsis; characters that the legend's font lacks are spelt in Latin letters.
///
/// # Errors
/// [`Error::SizesDiffer`] names the first layer whose mask does not have the picture's size.
pub fn overlay(
    picture: &Picture,
    layers: &[Layer<'_>],
    style: &OverlayStyle,
) -> Result<Picture, Error> {
    inscribed(picture, layers, style, &[])
}

/// As [`overlay`], with letters on the picture over everything that is drawn.
pub(crate) fn inscribed(
    picture: &Picture,
    layers: &[Layer<'_>],
    style: &OverlayStyle,
    inscriptions: &[Inscription],
) -> Result<Picture, Error> {
    for layer in layers {
        if layer.mask.dimensions() != picture.dimensions() {
            return Err(Error::SizesDiffer {
                what: format!("the mask of layer {:?} does not fit the picture", layer.label),
                expected: picture.dimensions(),
                found: layer.mask.dimensions(),
            });
        }
    }
    let scale = match style.enlargement {
        Enlargement::Readable => enlargement(picture),
        Enlargement::None => 1,
    };
    let colors: Vec<Rgb> = layers
        .iter()
        .zip(PALETTE.iter().cycle())
        .map(|(layer, color)| layer.color.unwrap_or(*color))
        .collect();

    let mut canvas = Canvas::enlarge(picture, scale);
    for (layer, color) in layers.iter().zip(&colors) {
        canvas.fill(layer.mask, scale, *color, style.fill_opacity);
    }
    let stroke = match style.outline {
        Outline::Proportional => Stroke::for_size(canvas.width.max(canvas.height)),
        Outline::Fine => Stroke::for_size(1),
    };
    for (layer, color) in layers.iter().zip(&colors) {
        outline::draw(&mut canvas, layer.mask, scale, stroke, *color);
    }
    for inscription in inscriptions {
        inscription::draw(&mut canvas, scale, inscription);
    }
    if style.legend == Legend::Below && !layers.is_empty() {
        canvas = legend::below(&canvas, layers, &colors);
    }
    Picture::from_rgb(canvas.width as u32, canvas.height as u32, canvas.rgb)
}

/// The side of the square that a pixel becomes.
fn enlargement(picture: &Picture) -> usize {
    const READABLE: u32 = 512;
    // A speck of a few pixels needs no more than this to be seen.
    const LARGEST: u32 = 64;
    READABLE.div_ceil(picture.width().max(picture.height())).min(LARGEST) as usize
}
