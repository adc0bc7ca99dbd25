//! The inner loops of the packed product: a register tile, and a strip of rows against panels of columns.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::dot::Dot;
use super::epilogue::Finish;
use super::layout::PANEL;
use crate::buffer::AlignedVec;
use crate::simd::{LANES, Simd};

/// The most rows of a strip; the sums of a strip and a panel, and a good part of the strip itself, stay in the
/// second level of cache while all panels pass.
pub(crate) const STRIP: usize = 112;

/// Words along the depth that are summed before the next tile is taken up, so that this part of a panel stays in the
/// second level of cache while the tiles of the strip pass. Half as many where rows are unpacked.
const DEPTH_BLOCK: usize = 1024;

/// How far ahead of its use a panel is fetched into the first level of cache, in words along the depth.
const NEAR: usize = 8;

/// The rows operand as bytes: the word `w` of row `r` lies at `r * row + w / 16 * line + w % 16 * 4`.
#[derive(Clone, Copy)]
pub(crate) struct RowWords {
    pub start: *const u8,
    pub row: usize,
    pub line: usize,
}

/// The columns operand: panels of `words` times 32 words, `stride` words apart.
#[derive(Clone, Copy)]
pub(crate) struct PanelWords {
    pub start: *const u32,
    pub stride: usize,
    pub words: usize,
    /// What the sums of each column begin at, if not at zero.
    pub offsets: Option<*const u32>,
}

// SAFETY: the operands are only read, by callers of `strip`, who promise that they can be.
unsafe impl Send for RowWords {}
// SAFETY: as above.
unsafe impl Sync for RowWords {}
// SAFETY: as above.
unsafe impl Send for PanelWords {}
// SAFETY: as above.
unsafe impl Sync for PanelWords {}

/// Memory that will be needed for the next panel, fetched a little at a time.
#[derive(Clone, Copy)]
struct Ahead {
    next: *const u8,
    /// Cache lines to fetch per sixteen words.
    lines: usize,
}

/// Panels whose sums are kept while the depth passes: a part of a deep strip is fetched once for all of them.
const GROUP: usize = 4;

thread_local! {
    /// Unpacked rows of a strip, a part of the depth; kept for the next one.
    static UNPACKED: RefCell<AlignedVec<u32>> = RefCell::new(AlignedVec::zeroed(0));
}

/// Words from one unpacked row to the next: never a multiple of a page.
const fn unpacked_pitch(words: usize) -> usize {
    2 * words.next_multiple_of(LANES) + LANES
}

/// Unpacks `words` words of each of `rows` rows.
///
/// # Safety
/// The rows must be readable as described.
#[inline(always)]
unsafe fn unpack<D: Dot>(
    dot: D,
    a: RowWords,
    [rows, words]: [usize; 2],
    buffer: &mut AlignedVec<u32>,
) -> RowWords {
    let pitch = unpacked_pitch(words);
    if buffer.len() < rows * pitch {
        *buffer = AlignedVec::zeroed(STRIP * pitch);
    }
    for (row, to) in buffer.chunks_exact_mut(pitch).take(rows).enumerate() {
        for (line, to) in to.chunks_exact_mut(2 * LANES).take(words.div_ceil(LANES)).enumerate() {
            let count = LANES.min(words - line * LANES);
            // SAFETY: the caller promises `count` words of this line; `to` has room for twice a line.
            unsafe {
                let start = a.start.add(row * a.row + line * a.line);
                if count == LANES {
                    dot.unpack(start.cast(), to.as_mut_ptr());
                } else {
                    let mut from = [0u32; LANES];
                    std::ptr::copy_nonoverlapping(start, from.as_mut_ptr().cast(), count * 4);
                    dot.unpack(from.as_ptr(), to.as_mut_ptr());
                }
            }
        }
    }
    RowWords { start: buffer.as_ptr().cast(), row: pitch * 4, line: 2 * LANES * 4 }
}

#[repr(align(64))]
struct Sums([MaybeUninit<u32>; GROUP * STRIP * PANEL]);

/// Multiplies a strip of rows by panels of columns and hands each finished tile to `finish`.
///
/// # Safety
/// The rows (at most [`STRIP`]) and panels must be readable as described, and `finish` valid for them.
#[inline(always)]
pub(crate) unsafe fn strip<D: Dot>(
    dot: D,
    a: RowWords,
    b: PanelWords,
    rows: Range<usize>,
    panels: Range<usize>,
    finish: &Finish<'_>,
) {
    // Taken out and put back, not borrowed in a closure, whose code would not be this instruction set's.
    let mut unpacked = UNPACKED.replace(AlignedVec::zeroed(0));
    // SAFETY: passed on from the caller.
    unsafe { strip_with(dot, a, b, (rows, panels), finish, &mut unpacked) };
    UNPACKED.set(unpacked);
}

/// As [`strip`], with memory for unpacked rows.
///
/// # Safety
/// As for [`strip`].
#[inline(always)]
unsafe fn strip_with<D: Dot>(
    dot: D,
    a: RowWords,
    b: PanelWords,
    (rows, panels): (Range<usize>, Range<usize>),
    finish: &Finish<'_>,
    unpacked: &mut AlignedVec<u32>,
) {
    debug_assert!(rows.len() <= STRIP);
    let mut sums = Sums([MaybeUninit::uninit(); GROUP * STRIP * PANEL]);
    let sums = sums.0.as_mut_ptr().cast::<u32>();
    let depth = if D::UNPACKS { DEPTH_BLOCK / 2 } else { DEPTH_BLOCK };
    let words_of =
        |panel: usize, word: usize| b.start.wrapping_add(panel * b.stride + word * PANEL);
    // Rows of a shallow product are unpacked for all panels at once, and otherwise for a group of them.
    let mut unpacked_from = None;
    for first in panels.clone().step_by(GROUP) {
        let group = first..panels.end.min(first + GROUP);
        for word in (0..b.words.max(1)).step_by(depth) {
            let last = word + depth >= b.words;
            let words = depth.min(b.words - word.min(b.words));
            let start = a.start.wrapping_add(rows.start * a.row + word / LANES * a.line);
            let mut a = RowWords { start, ..a };
            if D::UNPACKS {
                a = match unpacked_from {
                    Some((from, unpacked)) if from == word => unpacked,
                    // SAFETY: the caller promises these rows and words.
                    _ => unsafe { unpack(dot, a, [rows.len(), words], unpacked) },
                };
                unpacked_from = Some((word, a));
            }
            for panel in group.clone() {
                let block = Block {
                    a,
                    b: words_of(panel, word),
                    words,
                    sums: sums.wrapping_add((panel - first) * STRIP * PANEL),
                    first: word == 0,
                    last,
                    offsets: b.offsets.map(|offsets| offsets.wrapping_add(panel * PANEL)),
                };
                let next = match panel + 1 {
                    next if next < group.end => Some((next, word)),
                    _ if !last => Some((first, word + depth)),
                    next => Some((next, 0)).filter(|_| next < panels.end),
                };
                let ahead = Ahead {
                    next: next.map_or(block.b, |(panel, word)| words_of(panel, word)).cast(),
                    lines: next.map_or(0, |_| (2 * D::TILE.0).div_ceil(rows.len()).min(32)),
                };
                // SAFETY: the caller promises the panels; word and row offsets stay inside the operands' extents.
                unsafe { block.run(dot, rows.clone(), panel, finish, ahead) };
            }
        }
    }
}

/// A part of the depth, of one panel, for all tiles of a strip.
#[derive(Clone, Copy)]
struct Block {
    a: RowWords,
    b: *const u32,
    words: usize,
    sums: *mut u32,
    first: bool,
    last: bool,
    offsets: Option<*const u32>,
}

/// Where a tile lies, and what becomes of it.
#[derive(Clone, Copy)]
struct Place<'a> {
    row: usize,
    output_row: usize,
    panel: usize,
    finish: &'a Finish<'a>,
}

impl Block {
    /// # Safety
    /// As for [`strip`].
    #[inline(always)]
    unsafe fn run<D: Dot>(
        self,
        dot: D,
        rows: Range<usize>,
        panel: usize,
        finish: &Finish<'_>,
        mut ahead: Ahead,
    ) {
        let place = |row| Place { row, output_row: rows.start + row, panel, finish };
        let mut row = 0;
        while row < rows.len() {
            let left = rows.len() - row;
            let full = D::TILE.0;
            // The guards on `full` are constant: only the heights of this instruction set are compiled.
            // SAFETY: each height is at most the rows left.
            row += unsafe {
                match left {
                    14.. if full == 14 => self.tile::<D, 14>(dot, place(row), &mut ahead),
                    12.. if full == 12 => self.tile::<D, 12>(dot, place(row), &mut ahead),
                    8.. if full >= 8 => self.tile::<D, 8>(dot, place(row), &mut ahead),
                    6.. if full == 6 => self.tile::<D, 6>(dot, place(row), &mut ahead),
                    4.. if full >= 4 => self.tile::<D, 4>(dot, place(row), &mut ahead),
                    2.. => self.tile::<D, 2>(dot, place(row), &mut ahead),
                    _ => self.tile::<D, 1>(dot, place(row), &mut ahead),
                }
            };
        }
    }

    /// # Safety
    /// As for [`strip`], with `R` rows from `row` on inside the strip.
    #[inline(always)]
    unsafe fn tile<D: Dot, const R: usize>(
        self,
        dot: D,
        place: Place<'_>,
        ahead: &mut Ahead,
    ) -> usize {
        let row = place.row;
        let output_rows = place.output_row..place.output_row + R;
        // SAFETY: passed on from the caller; the sums are complete after the last part of the depth.
        unsafe {
            if self.last {
                place.finish.fetch(dot, output_rows.clone(), place.panel);
            }
            if D::TILE.1 == 2 {
                self.columns::<D, R, 2>(dot, row, 0, ahead);
            } else {
                self.columns::<D, R, 1>(dot, row, 0, ahead);
                self.columns::<D, R, 1>(dot, row, 16, ahead);
            }
            if self.last {
                place.finish.tile(dot, self.sums.add(row * PANEL), output_rows, place.panel);
            }
        }
        R
    }

    /// The sums of `R` rows and `V` vectors of columns, all in registers.
    ///
    /// # Safety
    /// As for [`Block::tile`].
    #[inline(always)]
    unsafe fn columns<D: Dot, const R: usize, const V: usize>(
        self,
        dot: D,
        row: usize,
        column: usize,
        ahead: &mut Ahead,
    ) {
        let simd = dot.simd();
        // SAFETY: rows, words and columns stay inside the extents that the caller promises; prefetches never fault.
        unsafe {
            let stored = self.sums.add(row * PANEL + column);
            let mut sums = [[dot.zero(); V]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (v, sums) in sums.iter_mut().enumerate() {
                    match self.offsets {
                        _ if !self.first => *sums = dot.load_sums(stored.add(r * PANEL + 16 * v)),
                        Some(offsets) => *sums = dot.load_sums(offsets.add(column + 16 * v)),
                        None => {}
                    }
                }
            }
            let mut a = self.a.start.add(row * self.a.row);
            let mut b = self.b.add(column);
            let mut left = self.words;
            while left > 0 {
                for _ in 0..ahead.lines {
                    simd.prefetch_far(ahead.next);
                    ahead.next = ahead.next.wrapping_add(64);
                }
                for word in 0..left.min(16) {
                    simd.prefetch_near(b.wrapping_add(NEAR * PANEL));
                    if V == 2 {
                        simd.prefetch_near(b.wrapping_add(NEAR * PANEL + 16));
                    }
                    let columns: [_; V] = std::array::from_fn(|v| dot.columns(b.add(16 * v)));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let row = dot.row(a.add(r * self.a.row + word * 4).cast());
                        for (sums, &columns) in sums.iter_mut().zip(&columns) {
                            *sums = dot.accumulate(*sums, row, columns);
                        }
                    }
                    b = b.wrapping_add(PANEL);
                }
                a = a.wrapping_add(self.a.line);
                left -= left.min(16);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sums) in sums.iter().enumerate() {
                    dot.store_sums(stored.add(r * PANEL + 16 * v), sums);
                }
            }
        }
    }
}
