use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::Kind;
use crate::place::Layout;
use crate::{Base64Fault, Column, EncodedImage, Place, WireError, WireLimits, split_sentences};

/// The rows of a request, in order; every rule that does not need the pictures decoded has been checked.
#[derive(Debug, Clone)]
pub struct ScoreInput<'a> {
    /// The rows.
    pub rows: Vec<Row<'a>>,
    layout: Layout,
}

/// One row: a picture and the sentences asked of it.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// The picture, not yet decoded.
    pub image: EncodedImage<'a>,
    /// The sentences, at least one, none empty.
    pub prompts: Vec<String>,
}

impl ScoreInput<'_> {
    /// Where the picture of `row` stands in the request.
    pub fn image_place(&self, row: usize) -> Place {
        self.layout.place(row, Column::Image)
    }

    /// The error that the picture of `row` is not base64.
    pub fn base64_error(&self, row: usize, fault: Base64Fault) -> WireError {
        WireError::Base64 { place: self.image_place(row), fault }
    }
}

/// A row whose cells have been found but not looked at.
pub(crate) struct Cells<'a> {
    pub(crate) image: &'a RawValue,
    pub(crate) text: &'a RawValue,
}

/// Checks the cells of all rows.
pub(crate) fn check_rows<'a>(
    rows: Vec<Cells<'a>>,
    layout: Layout,
    limits: &WireLimits,
) -> Result<ScoreInput<'a>, WireError> {
    let rows = rows
        .into_iter()
        .enumerate()
        .map(|(row, cells)| check_row(&cells, row, layout, limits))
        .collect::<Result<_, _>>()?;
    Ok(ScoreInput { rows, layout })
}

fn check_row<'a>(
    cells: &Cells<'a>,
    row: usize,
    layout: Layout,
    limits: &WireLimits,
) -> Result<Row<'a>, WireError> {
    for (raw, column) in [(cells.image, Column::Image), (cells.text, Column::Text)] {
        let found = Kind::of(raw);
        if found != Kind::Text {
            return Err(WireError::Cell { place: layout.place(row, column), found });
        }
    }
    let place = layout.place(row, Column::Text);
    // Six bytes of JSON make at most one character of text: the bound holds before anything is allocated.
    if cells.text.get().len() > 6 * limits.text_bytes + 2 {
        return Err(WireError::TextTooLong {
            place,
            found: cells.text.get().len() - 2,
            limit: limits.text_bytes,
        });
    }
    let text: Cow<'_, str> = serde_json::from_str(cells.text.get())
        .map_err(|_| WireError::TextNotUnicode { place: place.clone() })?;
    Ok(Row {
        image: EncodedImage::new(cells.image),
        prompts: split_sentences(&text, limits, &place)?,
    })
}

/// Refuses more rows than allowed.
pub(crate) fn check_count(found: usize, limits: &WireLimits) -> Result<(), WireError> {
    let limit = limits.rows.min(WireLimits::DOCUMENTED_ROWS);
    if found > limit {
        return Err(WireError::TooManyRows { found, limit });
    }
    Ok(())
}

/// A name from the request, quoted and shortened for a sentence.
pub(crate) fn quoted(name: &str) -> String {
    let mut short: String = name.chars().take(32).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("{short:?}")
}
