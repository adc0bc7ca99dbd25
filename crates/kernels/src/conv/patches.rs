//! The patches of an image as the columns of a matrix that is never stored.

use std::ops::Range;

use crate::gemm::layout::PANEL;
use crate::gemm::pack::PanelSource;
use crate::simd::{LANES, Simd};

/// The patches under a square kernel of an image `[channels, height, width]` that has its zeros around it already: the
/// value of tap `t` and output pixel `p`, for taps `[channels, kernel, kernel]`.
#[derive(Clone, Copy)]
pub(super) struct Patches<'a> {
    pub image: &'a [f32],
    pub channels: usize,
    /// With the zeros around.
    pub height: usize,
    /// With the zeros around.
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Pixels in a row of the output.
    pub out_width: usize,
    /// Pixels of the output.
    pub pixels: usize,
}

/// Up to sixteen neighbouring output pixels.
struct Pixels {
    /// Where the first tap of each lies in the first channel.
    start: [usize; LANES],
    count: usize,
    /// True if they lie side by side in the image.
    together: bool,
}

impl Patches<'_> {
    fn taps(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Where a tap lies relative to the first one.
    #[inline(always)]
    fn offset(&self, tap: usize) -> usize {
        let (channel, place) = (tap / self.kernel.pow(2), tap % self.kernel.pow(2));
        (channel * self.height + place / self.kernel) * self.width + place % self.kernel
    }

    #[inline(always)]
    fn pixels(&self, first: usize) -> Pixels {
        let count = LANES.min(self.pixels.saturating_sub(first));
        let mut start = [0; LANES];
        for (i, start) in start.iter_mut().enumerate().take(count) {
            let (y, x) = ((first + i) / self.out_width, (first + i) % self.out_width);
            *start = (y * self.width + x) * self.stride;
        }
        let together = count == LANES && start[LANES - 1] - start[0] == LANES - 1;
        Pixels { start, count, together }
    }

    /// One tap of some pixels; missing pixels are zero.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, pixels: &Pixels, offset: usize) -> S::F32 {
        if pixels.together {
            return s.load_part(&self.image[pixels.start[0] + offset..][..LANES], 0.0);
        }
        let mut lanes = [0.0; LANES];
        for (lane, start) in lanes.iter_mut().zip(&pixels.start[..pixels.count]) {
            *lane = self.image[start + offset];
        }
        s.load(&lanes)
    }
}

/// Taps are rows, output pixels columns.
impl PanelSource for Patches<'_> {
    fn rows(&self) -> usize {
        self.taps()
    }

    fn columns(&self) -> usize {
        self.pixels
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, rows: Range<usize>, column: usize, to: &mut [f32]) {
        let pixels = self.pixels(column);
        for (tap, to) in rows.zip(to.chunks_mut(PANEL)) {
            let x = self.load(s, &pixels, self.offset(tap));
            s.store_part(to, x);
        }
    }
}

/// Output pixels are rows, taps columns.
pub(super) struct Turned<'a>(pub Patches<'a>);

impl PanelSource for Turned<'_> {
    fn rows(&self) -> usize {
        self.0.pixels
    }

    fn columns(&self) -> usize {
        self.0.taps()
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, rows: Range<usize>, column: usize, to: &mut [f32]) {
        let patches = &self.0;
        let taps = LANES.min(patches.taps().saturating_sub(column));
        for (first, to) in rows.clone().step_by(LANES).zip(to.chunks_mut(LANES * PANEL)) {
            let pixels = patches.pixels(first);
            let mut of_taps = [s.zero(); LANES];
            for (i, x) in of_taps.iter_mut().enumerate().take(taps) {
                *x = patches.load(s, &pixels, patches.offset(column + i));
            }
            for (to, x) in to.chunks_mut(PANEL).zip(s.transpose(of_taps)) {
                s.store_part(to, x);
            }
        }
    }
}
