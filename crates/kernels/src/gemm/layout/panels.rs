//! The second operand of a product.

use std::ops::Range;

use super::{Element, PANEL, check_part};
use crate::gemm::tile::PanelWords;

/// A matrix `[depth, columns]` cut into panels of 32 columns, `[columns / 32][depth / W][32][W]` where W is
/// [`Element::PER_WORD`]; zeros fill the last panel and the last word. Weights are packed once, by `pack`.
///
/// The layout is the same on every machine, so that packed weights can be stored.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a, T> {
    data: &'a [T],
    depth: usize,
    columns: usize,
    /// Values from one panel to the next.
    stride: usize,
}

impl<'a, T: Element> Panels<'a, T> {
    /// The values that packing a matrix of `depth` by `columns` takes.
    pub const fn len(depth: usize, columns: usize) -> usize {
        columns.next_multiple_of(PANEL) * depth.next_multiple_of(T::PER_WORD)
    }

    /// A packed matrix.
    ///
    /// # Panics
    /// If `data` does not have [`Panels::len`] values.
    #[track_caller]
    pub fn new(data: &'a [T], depth: usize, columns: usize) -> Self {
        let len = Self::len(depth, columns);
        assert_eq!(
            data.len(),
            len,
            "panels of depth {depth} and {columns} columns take {len} values"
        );
        Self { data, depth, columns, stride: PANEL * depth.next_multiple_of(T::PER_WORD) }
    }

    /// The dimension that is summed over.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the product.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// These columns alone.
    ///
    /// # Panics
    /// If the range exceeds the columns or starts inside a panel of 32.
    #[track_caller]
    pub fn slice_columns(&self, range: Range<usize>) -> Self {
        check_part("columns", &range, self.columns);
        assert!(
            range.start.is_multiple_of(PANEL),
            "columns {range:?} start inside a panel of {PANEL}"
        );
        Self {
            data: &self.data[range.start / PANEL * self.stride..],
            columns: range.len(),
            ..*self
        }
    }

    /// This part of the depth alone, to add up a product in parts.
    ///
    /// # Panics
    /// If the range exceeds the depth, starts inside a line of [`Element::PER_LINE`] values or ends inside a word of
    /// [`Element::PER_WORD`].
    #[track_caller]
    pub fn slice_depth(&self, range: Range<usize>) -> Self {
        check_part("depth", &range, self.depth);
        assert!(
            range.start.is_multiple_of(T::PER_LINE),
            "depth {range:?} starts inside a line of {}",
            T::PER_LINE
        );
        let whole_words = range.end == self.depth || range.end.is_multiple_of(T::PER_WORD);
        assert!(whole_words, "depth {range:?} ends inside a word of {} values", T::PER_WORD);
        Self { data: &self.data[range.start * PANEL..], depth: range.len(), ..*self }
    }

    /// The same, as words.
    pub(crate) fn words_view(&self) -> PanelWords {
        PanelWords {
            start: self.data.as_ptr().cast(),
            stride: self.stride / T::PER_WORD,
            words: self.depth.div_ceil(T::PER_WORD),
            offsets: None,
        }
    }

    pub(crate) fn bytes_of_panel(&self) -> usize {
        self.depth.div_ceil(T::PER_WORD) * PANEL * 4
    }
}
