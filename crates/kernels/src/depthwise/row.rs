//! One row of a depthwise convolution, sixteen channels at a time.

use crate::simd::{LANES, Simd};

/// The most pixels that a row is computed in steps of.
pub(super) const STEP: usize = 16;

/// The last few rows of sixteen channels of an image: row `y` at `y % kept`.
#[derive(Clone, Copy)]
pub(super) struct Ring {
    pub start: *mut f32,
    pub kept: usize,
    /// Values of a kept row.
    pub pitch: usize,
    /// Zeros on either side of a kept row, in pixels.
    pub pad: usize,
}

impl Ring {
    /// The first pixel of a row; `pad` pixels to the left of it are zero, and at least as many to the right of the last.
    #[inline(always)]
    pub fn row(self, y: usize) -> *mut f32 {
        self.start.wrapping_add(y % self.kept * self.pitch + self.pad * LANES)
    }
}

/// Which way round filters are applied.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// As they are.
    Forward,
    /// Turned by half a circle, as for the gradient of the input.
    Turned,
}

/// Packs the filters of up to sixteen channels, `[channels][taps]`, as `[taps][16]`; those of missing channels are zero.
#[inline(always)]
pub(super) fn pack_filters(filters: &[f32], order: Order, packed: &mut [f32]) {
    let taps = packed.len() / LANES;
    for (index, packed) in packed.iter_mut().enumerate() {
        let (tap, channel) = (index / LANES, index % LANES);
        let tap = match order {
            Order::Forward => tap,
            Order::Turned => taps - 1 - tap,
        };
        *packed = filters.get(channel * taps + tap).copied().unwrap_or(0.0);
    }
}

/// One row of a convolution.
pub(super) struct ConvolvedRow {
    pub from: Ring,
    /// `[taps][16]`.
    pub weights: *const f32,
    pub radius: usize,
    pub y: usize,
    pub height: usize,
    pub width: usize,
    pub to: *mut f32,
}

impl ConvolvedRow {
    /// # Safety
    /// The ring holds the rows within the radius that are in the image, and `to` has room for the row.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, s: S) {
        // SAFETY: passed on. The sums of a step and what is multiplied fill the registers.
        unsafe {
            match (S::REGISTERS, self.radius) {
                (32, 1) => self.kept_in_registers::<S, 3>(s),
                (32, 2) => self.kept_in_registers::<S, 5>(s),
                (32, 3) => self.kept_in_registers::<S, 7>(s),
                (32, 4) => self.kept_in_registers::<S, 9>(s),
                (32, _) => self.steps::<S, 16>(s),
                (8, _) => self.steps::<S, 4>(s),
                _ => self.steps::<S, 2>(s),
            }
        }
    }

    /// Sixteen pixels at a time, with their sums and a row of weights in registers: each pixel is loaded once for each row
    /// of weights and multiplied by all of them.
    ///
    /// # Safety
    /// As for [`ConvolvedRow::run`].
    #[inline(always)]
    unsafe fn kept_in_registers<S: Simd, const K: usize>(&self, s: S) {
        /// Unrolled by hand, because the sums must be registers: pixel `j` times tap `kx` belongs to sum `j - kx`.
        macro_rules! pixels {
            ($row:ident, $weights:ident, $sums:ident: $($j:literal)*) => {$(
                if $j < STEP + K - 1 {
                    let x = s.load_ptr($row.wrapping_add($j * LANES));
                    for kx in 0..K {
                        if $j >= kx && $j - kx < STEP {
                            $sums[$j - kx] = s.mul_add(x, $weights[kx], $sums[$j - kx]);
                        }
                    }
                }
            )*};
        }
        let taps = self.radius.saturating_sub(self.y)..K.min(self.height + self.radius - self.y);
        for x in (0..self.width).step_by(STEP) {
            let mut sums = [s.zero(); STEP];
            for ky in taps.clone() {
                let row = self.from.row(self.y + ky - self.radius).wrapping_add(x * LANES);
                let row = row.wrapping_sub(self.radius * LANES).cast_const();
                // SAFETY: the ring's pads cover the radius and a whole step beyond the last pixel; the weights have K rows.
                unsafe {
                    let weights = self.weights.add(ky * K * LANES);
                    let weights: [S::F32; K] =
                        std::array::from_fn(|kx| s.load_ptr(weights.add(kx * LANES)));
                    pixels!(row, weights, sums: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
                }
            }
            // SAFETY: passed on.
            unsafe { self.store(s, x, &sums) };
        }
    }

    /// # Safety
    /// As for [`ConvolvedRow::run`].
    #[inline(always)]
    unsafe fn steps<S: Simd, const T: usize>(&self, s: S) {
        let kernel = 2 * self.radius + 1;
        let taps =
            self.radius.saturating_sub(self.y)..kernel.min(self.height + self.radius - self.y);
        for x in (0..self.width).step_by(T) {
            let mut sums = [s.zero(); T];
            for ky in taps.clone() {
                let row = self.from.row(self.y + ky - self.radius).wrapping_add(x * LANES);
                let row = row.wrapping_sub(self.radius * LANES);
                for kx in 0..kernel {
                    // SAFETY: the ring's pads cover the radius and a whole step beyond the last pixel.
                    unsafe {
                        let weight = s.load_ptr(self.weights.add((ky * kernel + kx) * LANES));
                        for (t, sum) in sums.iter_mut().enumerate() {
                            *sum = s.mul_add(s.load_ptr(row.add((kx + t) * LANES)), weight, *sum);
                        }
                    }
                }
            }
            // SAFETY: passed on.
            unsafe { self.store(s, x, &sums) };
        }
    }

    /// Stores the sums of the pixels from `x` on that are in the row.
    ///
    /// # Safety
    /// As for [`ConvolvedRow::run`].
    #[inline(always)]
    unsafe fn store<S: Simd, const T: usize>(&self, s: S, x: usize, sums: &[S::F32; T]) {
        for (t, &sum) in sums.iter().enumerate() {
            if x + t < self.width {
                // SAFETY: the pixel lies in the row.
                unsafe { s.store_ptr(self.to.add((x + t) * LANES), sum) };
            }
        }
    }
}

/// Adds to the gradient of a row of weights what one row of an image contributes: for each tap `kx`, the sum over the
/// pixels `x` of `dy[x] * image[x + kx - radius]`.
pub(super) struct RowGradient {
    /// The row of the image; `radius` zeros lie to its left and a whole step of zeros to its right.
    pub image: *const f32,
    /// The gradient of the output's row; a whole step of zeros lies to its right.
    pub dy: *const f32,
    pub radius: usize,
    pub width: usize,
    /// `[kernel][16]`.
    pub gradient: *mut f32,
}

impl RowGradient {
    /// # Safety
    /// The rows can be read as described, the gradient read and written.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, s: S) {
        // SAFETY: passed on.
        unsafe {
            match (S::REGISTERS, self.radius) {
                (32, 1) => self.kept_in_registers::<S, 3>(s),
                (32, 2) => self.kept_in_registers::<S, 5>(s),
                (32, 3) => self.kept_in_registers::<S, 7>(s),
                (32, 4) => self.kept_in_registers::<S, 9>(s),
                _ => self.tap_by_tap(s),
            }
        }
    }

    /// The sums of all taps and eight pixels of `dy` in registers: each pixel of the image is loaded once.
    ///
    /// # Safety
    /// As for [`RowGradient::run`].
    #[inline(always)]
    unsafe fn kept_in_registers<S: Simd, const K: usize>(&self, s: S) {
        const PIXELS: usize = 8;
        /// Unrolled by hand, because the sums must be registers: pixel `j` times `dy[j - kx]` belongs to tap `kx`.
        macro_rules! pixels {
            ($image:ident, $dy:ident, $sums:ident: $($j:literal)*) => {$(
                if $j < PIXELS + K - 1 {
                    let x = s.load_ptr($image.wrapping_add($j * LANES));
                    for kx in 0..K {
                        if $j >= kx && $j - kx < PIXELS {
                            $sums[kx] = s.mul_add(x, $dy[$j - kx], $sums[kx]);
                        }
                    }
                }
            )*};
        }
        let mut sums = [s.zero(); K];
        for x in (0..self.width).step_by(PIXELS) {
            let image = self.image.wrapping_add(x * LANES).wrapping_sub(self.radius * LANES);
            // SAFETY: the zeros around the rows cover the radius and a whole step beyond the last pixel.
            unsafe {
                let dy: [S::F32; PIXELS] =
                    std::array::from_fn(|t| s.load_ptr(self.dy.add((x + t) * LANES)));
                pixels!(image, dy, sums: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            }
        }
        for (kx, &sum) in sums.iter().enumerate() {
            // SAFETY: the gradient has K vectors.
            unsafe { self.add(s, kx, sum) };
        }
    }

    /// # Safety
    /// As for [`RowGradient::run`].
    #[inline(always)]
    unsafe fn tap_by_tap<S: Simd>(&self, s: S) {
        for kx in 0..2 * self.radius + 1 {
            let image = self.image.wrapping_add(kx * LANES).wrapping_sub(self.radius * LANES);
            let mut sums = [s.zero(); 2];
            for x in (0..self.width).step_by(2) {
                for (t, sum) in sums.iter_mut().enumerate() {
                    let at = (x + t) * LANES;
                    // SAFETY: the zeros around the rows cover the radius and a step beyond the last pixel.
                    *sum = unsafe {
                        s.mul_add(
                            s.load_ptr(image.wrapping_add(at)),
                            s.load_ptr(self.dy.add(at)),
                            *sum,
                        )
                    };
                }
            }
            // SAFETY: the gradient has a vector for each tap.
            unsafe { self.add(s, kx, s.add(sums[0], sums[1])) };
        }
    }

    /// # Safety
    /// As for [`RowGradient::run`].
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, s: S, kx: usize, sum: S::F32) {
        // SAFETY: the gradient has a vector for each tap.
        unsafe {
            let at = self.gradient.add(kx * LANES);
            s.store_ptr(at, s.add(s.load_ptr(at), sum));
        }
    }
}
