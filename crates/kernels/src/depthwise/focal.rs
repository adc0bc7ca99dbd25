//! The context of focal modulation: a chain of depthwise convolutions, gated and summed.
//!
//! For sixteen channels at a time, all levels run as one wave down the image: as soon as the rows around a row of level
//! `l - 1` exist, level `l` computes that row. Each level keeps only the last few rows, so that the whole chain stays in
//! the second level of cache whatever the size of the image.

use std::ops::Range;

use super::row::{ConvolvedRow, Order, Ring, STEP, pack_filters};
use crate::buffer::check_scratch;
use crate::gemm::output::Target;
use crate::gemm::{Output, Rows};
use crate::simd::{Kernel, LANES, Simd, math};
use crate::threads::Cpu;

/// One convolution of the chain.
#[derive(Clone, Copy, Debug)]
pub struct FocalLevel<'a> {
    /// The side of the square filters, an odd number.
    pub kernel: usize,
    /// `[channels / 16][kernel * kernel][16]`, by [`pack_depthwise`].
    pub weights: &'a [f32],
}

/// The context of focal modulation (Yang et al., "Focal Modulation Networks", 2022).
///
/// ```text
/// c[0] = GELU(conv[0](input)),  c[l] = GELU(conv[l](c[l - 1]))
/// context = scale * sum over l of gates[pixel, l] * c[l][pixel, channel]
/// global  = GELU(mean over the pixels of the last c)[channel]
/// ```
/// The global context enters the product that follows as its [`Context`](crate::gemm::Context).
#[derive(Clone, Copy, Debug)]
pub struct FocalContext<'a> {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// From the first convolution to the last, at most eight.
    pub levels: &'a [FocalLevel<'a>],
    /// The factor of the sum.
    pub scale: f32,
    /// `[height * width, channels]` in planes.
    pub input: Rows<'a, f32>,
    /// `[height * width, levels]`, or with more columns, which do not count.
    pub gates: Rows<'a, f32>,
}

/// Packs the weights `[channels, 1, kernel, kernel]` of a depthwise convolution as `[channels / 16][kernel^2][16]`, the
/// last block filled up with zeros.
///
/// # Panics
/// If `weights` does not have `channels * kernel^2` values, or `packed` that many with the channels rounded up to a
/// multiple of 16.
pub fn pack_depthwise(weights: &[f32], channels: usize, kernel: usize, packed: &mut [f32]) {
    let taps = kernel * kernel;
    assert_eq!(weights.len(), channels * taps, "the weights of {channels} channels");
    assert_eq!(
        packed.len(),
        channels.next_multiple_of(LANES) * taps,
        "the packed weights of {channels} channels"
    );
    let block = (LANES * taps).max(1);
    for (filters, packed) in weights.chunks(block).zip(packed.chunks_mut(block)) {
        pack_filters(filters, Order::Forward, packed);
    }
}

impl FocalContext<'_> {
    /// Values of scratch space that [`FocalContext::run`] takes.
    ///
    /// # Panics
    /// As [`FocalContext::run`].
    pub fn scratch(&self, cpu: &Cpu) -> usize {
        let blocks = self.input.columns().div_ceil(LANES);
        blocks * self.height * LANES + cpu.threads().count() * Wave::new(self).scratch()
    }

    /// Computes the context, `[height * width, channels]`, and the global context, one value for each channel.
    ///
    /// # Panics
    /// If the side of a filter is even, the shapes do not fit together, the input is not in planes, or `scratch` has
    /// fewer values than [`FocalContext::scratch`] says.
    pub fn run(&self, cpu: &Cpu, context: Output<'_>, global: &mut [f32], scratch: &mut [f32]) {
        let wave = Wave::new(self);
        let (pixels, channels) = (self.height * self.width, self.input.columns());
        assert_eq!(self.input.rows(), pixels, "the input must have a row for each pixel");
        assert!(self.input.strides().row == LANES || pixels <= 1, "the input must be in planes");
        assert!(
            self.gates.rows() == pixels && self.gates.columns() >= wave.levels,
            "the gates must be [pixels, levels]"
        );
        assert_eq!(global.len(), channels, "one global value for each channel");
        check_scratch(scratch.len(), self.scratch(cpu));
        assert_eq!(context.shape(), (pixels, channels), "the context must be [pixels, channels]");
        let target = context.shared();
        if pixels == 0 || channels == 0 {
            return;
        }
        let blocks = channels.div_ceil(LANES);
        let (row_sums, workers) = scratch.split_at_mut(blocks * self.height * LANES);
        let threads = cpu.threads().count();
        // Few channels and many threads: bands of rows, each of which computes the rows around it once more.
        let bands = if blocks < 2 * threads {
            (2 * threads).div_ceil(blocks).min(self.height.div_ceil(32))
        } else {
            1
        };
        let band = self.height.div_ceil(bands);
        let tasks =
            row_sums.chunks_mut(self.height * LANES).enumerate().flat_map(|(block, sums)| {
                sums.chunks_mut(band * LANES)
                    .enumerate()
                    .map(move |(index, sums)| (block, index * band, sums))
            });
        cpu.threads().each_with_scratch(
            workers,
            wave.scratch(),
            tasks,
            |scratch, (block, first, row_sums)| {
                let rows = first..first + row_sums.len() / LANES;
                cpu.isa().run(Band {
                    problem: self,
                    wave: &wave,
                    block,
                    rows,
                    row_sums,
                    target,
                    scratch,
                });
            },
        );
        let share = 1.0 / pixels as f32;
        for (global, sums) in global.chunks_mut(LANES).zip(row_sums.chunks(self.height * LANES)) {
            cpu.isa().run(Global { sums, share, global });
        }
    }
}

/// The most levels of a chain.
const MOST_LEVELS: usize = 8;

/// How far each level of the wave lags behind, and how its rows are kept.
struct Wave {
    levels: usize,
    radius: [usize; MOST_LEVELS],
    /// Rows that level `l` is behind the input.
    lag: [usize; MOST_LEVELS],
    /// Rows kept of what level `l` reads.
    kept: [usize; MOST_LEVELS],
    /// Zeros on either side of a kept row, in pixels.
    pad: usize,
    /// Values of a kept row.
    pitch: usize,
}

impl Wave {
    #[track_caller]
    fn new(problem: &FocalContext<'_>) -> Self {
        let levels = problem.levels.len();
        assert!(
            (1..=MOST_LEVELS).contains(&levels),
            "a chain has 1 to {MOST_LEVELS} levels, not {levels}"
        );
        let (mut radius, mut lag, mut kept) =
            ([0; MOST_LEVELS], [0; MOST_LEVELS], [0; MOST_LEVELS]);
        let mut behind = 0;
        for (l, level) in problem.levels.iter().enumerate() {
            assert!(
                level.kernel % 2 == 1,
                "the filters of level {l} have an even side, {}",
                level.kernel
            );
            let len = problem.input.columns().next_multiple_of(LANES) * level.kernel.pow(2);
            assert_eq!(level.weights.len(), len, "the packed weights of level {l}");
            radius[l] = level.kernel / 2;
            behind += radius[l];
            lag[l] = behind;
        }
        for l in 0..levels {
            // What level l reads was made by level l - 1, and is read once more when the last level sums up.
            let until_summed = if l > 0 { lag[levels - 1] - lag[l - 1] + 1 } else { 0 };
            kept[l] = (2 * radius[l] + 1).max(until_summed);
        }
        let pad = radius.into_iter().max().unwrap_or(0);
        let pitch = (problem.width + 2 * pad + STEP) * LANES;
        Self { levels, radius, lag, kept, pad, pitch }
    }

    /// Values of scratch space of one thread: the kept rows of all levels, and the sums of one row.
    fn scratch(&self) -> usize {
        (self.kept.iter().sum::<usize>() + 1) * self.pitch
    }
}

/// Sixteen channels of some rows.
struct Band<'a> {
    problem: &'a FocalContext<'a>,
    wave: &'a Wave,
    block: usize,
    rows: Range<usize>,
    /// `[rows][16]`: the sum over each row of the last level.
    row_sums: &'a mut [f32],
    target: Target,
    scratch: &'a mut [f32],
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { problem, wave, block, rows, row_sums, target, scratch } = self;
        let (height, width) = (problem.height, problem.width);
        let last = wave.levels - 1;
        scratch.fill(0.0);
        let mut free = scratch.as_mut_ptr();
        let rings: [Ring; MOST_LEVELS] = std::array::from_fn(|l| {
            let ring =
                Ring { start: free, kept: wave.kept[l].max(1), pitch: wave.pitch, pad: wave.pad };
            free = free.wrapping_add(wave.kept[l] * wave.pitch);
            ring
        });
        let sums = free;
        let (first, end) =
            (rows.start.saturating_sub(wave.lag[last]), height.min(rows.end + wave.lag[last]));
        for step in first..rows.end + wave.lag[last] {
            if step < end {
                // SAFETY: row `step` of this block lies in the input; the ring's row holds `width` pixels and more.
                unsafe {
                    let from = problem.input.as_ptr();
                    let from = from
                        .add(problem.input.strides().offset::<f32>(step * width, block * LANES));
                    std::ptr::copy_nonoverlapping(from, rings[0].row(step), width * LANES);
                }
            }
            for l in 0..wave.levels {
                // The rows of this level that later levels need for the band.
                let ahead = wave.lag[last] - wave.lag[l];
                let needed = rows.start.saturating_sub(ahead)..height.min(rows.end + ahead);
                let Some(y) = step.checked_sub(wave.lag[l]).filter(|y| needed.contains(y)) else {
                    continue;
                };
                let to = if l < last { rings[l + 1].row(y) } else { sums };
                let level = &problem.levels[l];
                let taps = level.kernel * level.kernel;
                let weights = level.weights[block * taps * LANES..][..taps * LANES].as_ptr();
                let row = ConvolvedRow {
                    from: rings[l],
                    weights,
                    radius: wave.radius[l],
                    y,
                    height,
                    width,
                    to,
                };
                // SAFETY: the ring holds the rows around `y`, its pads cover the radius, `to` has room for a row.
                unsafe {
                    row.run(s);
                    if l < last {
                        gelu_row(s, to, width);
                    }
                }
            }
            if let Some(y) = step.checked_sub(wave.lag[last]).filter(|y| rows.contains(y)) {
                let row_sum: &mut [f32] = &mut row_sums[(y - rows.start) * LANES..][..LANES];
                // SAFETY: the rings hold row `y` of all levels but the last, `sums` that of the last before its GELU; the
                // output and the gates have this row.
                unsafe {
                    let sum = sum_row(s, problem, &rings[1..wave.levels], sums, y, block, target);
                    s.store_part(row_sum, sum);
                }
            }
        }
    }
}

/// # Safety
/// `row` holds `width` pixels of sixteen channels.
#[inline(always)]
unsafe fn gelu_row<S: Simd>(s: S, row: *mut f32, width: usize) {
    for x in 0..width {
        // SAFETY: pixel `x` lies in the row.
        unsafe {
            let at = row.add(x * LANES);
            s.store_ptr(at, math::gelu(s, s.load_ptr(at)));
        }
    }
}

/// Writes row `y` of the context and answers the sum of the last level over the row.
///
/// # Safety
/// `earlier` holds the row of all levels but the last, `last` the last one's before its GELU; the row and block lie in the
/// gates and the output, where no other thread writes.
#[inline(always)]
unsafe fn sum_row<S: Simd>(
    s: S,
    problem: &FocalContext<'_>,
    earlier: &[Ring],
    last: *const f32,
    y: usize,
    block: usize,
    target: Target,
) -> S::F32 {
    let (width, column) = (problem.width, block * LANES);
    let count = LANES.min(problem.input.columns() - column);
    let scale = s.splat(problem.scale);
    let mut total = s.zero();
    for x in 0..width {
        let pixel = y * width + x;
        // SAFETY: passed on from the caller; no more than `count` channels are written.
        unsafe {
            let gates = problem.gates.as_ptr().add(problem.gates.strides().offset::<f32>(pixel, 0));
            let c = math::gelu(s, s.load_ptr(last.add(x * LANES)));
            total = s.add(total, c);
            let mut sum = s.mul(c, s.splat(*gates.add(earlier.len())));
            for (l, ring) in earlier.iter().enumerate() {
                let c = s.load_ptr(ring.row(y).add(x * LANES));
                sum = s.mul_add(c, s.splat(*gates.add(l)), sum);
            }
            sum = s.mul(sum, scale);
            target.write(s, pixel, column, count, sum);
        }
    }
    total
}

/// The global context of sixteen channels, from the sums of the rows.
struct Global<'a> {
    sums: &'a [f32],
    share: f32,
    global: &'a mut [f32],
}

impl Kernel for Global<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.sums.as_chunks::<LANES>().0;
        let mut sum = s.zero();
        for row in rows {
            sum = s.add(sum, s.load(row));
        }
        s.store_part(self.global, math::gelu(s, s.mul(sum, s.splat(self.share))));
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::gemm::{RowsMut, plane_rows};
    use crate::testing::{Random, assert_close, gelu, machines};

    /// `x [pixels]` of one channel, filtered with zeros around.
    fn convolve(
        x: &[f64],
        [height, width]: [usize; 2],
        weights: &[f32],
        kernel: usize,
    ) -> Vec<f64> {
        let radius = kernel / 2;
        let mut out = vec![0.0; x.len()];
        for (i, out) in out.iter_mut().enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                let (y, x_at) = (i / width + tap / kernel, i % width + tap % kernel);
                if (radius..height + radius).contains(&y)
                    && (radius..width + radius).contains(&x_at)
                {
                    *out += x[(y - radius) * width + x_at - radius] * f64::from(weight);
                }
            }
        }
        out
    }

    struct Case {
        size: [usize; 2],
        channels: usize,
        kernels: &'static [usize],
    }

    #[test]
    fn the_wave_agrees_with_plain_convolutions_at_odd_sizes() {
        let cases = [
            Case { size: [1, 1], channels: 1, kernels: &[3] },
            Case { size: [5, 3], channels: 17, kernels: &[3, 5] },
            Case { size: [2, 40], channels: 16, kernels: &[9, 1, 3] },
            Case { size: [23, 17], channels: 33, kernels: &[3, 5, 7, 9] },
            Case { size: [70, 16], channels: 40, kernels: &[3, 5, 7, 9] },
            Case { size: [9, 8], channels: 16, kernels: &[11, 3] },
        ];
        let mut random = Random::new(31);
        for Case { size: [height, width], channels, kernels } in cases {
            let (pixels, levels) = (height * width, kernels.len());
            let planes = plane_rows(pixels);
            let x = random.vec(pixels * channels);
            let gates = random.vec(pixels * (levels + 1));
            let weights: Vec<Vec<f32>> =
                kernels.iter().map(|k| random.vec(channels * k * k)).collect();
            let mut want = vec![0.0; pixels * channels];
            let mut want_global = vec![0.0; channels];
            for channel in 0..channels {
                let mut c: Vec<f64> =
                    (0..pixels).map(|p| f64::from(x[p * channels + channel])).collect();
                for (l, &kernel) in kernels.iter().enumerate() {
                    let taps = kernel * kernel;
                    c = convolve(
                        &c,
                        [height, width],
                        &weights[l][channel * taps..][..taps],
                        kernel,
                    );
                    c.iter_mut().for_each(|c| *c = gelu(*c));
                    for (p, c) in c.iter().enumerate() {
                        want[p * channels + channel] +=
                            0.2 * f64::from(gates[p * (levels + 1) + l]) * c;
                    }
                }
                want_global[channel] = gelu(c.iter().sum::<f64>() / pixels as f64);
            }
            let greatest =
                want.iter().chain(&want_global).fold(1f64, |greatest, x| greatest.max(x.abs()));
            let bound = 4e-6 * greatest;

            let mut in_planes = vec![f32::NAN; channels.div_ceil(16) * planes * 16];
            for block in in_planes.chunks_mut(planes * 16) {
                block[..pixels * 16].fill(0.0);
            }
            for (i, &x) in x.iter().enumerate() {
                in_planes[(i % channels / 16 * planes + i / channels) * 16 + i % channels % 16] = x;
            }
            let packed: Vec<Vec<f32>> = kernels
                .iter()
                .zip(&weights)
                .map(|(&kernel, weights)| {
                    let mut packed =
                        vec![f32::NAN; channels.next_multiple_of(16) * kernel * kernel];
                    pack_depthwise(weights, channels, kernel, &mut packed);
                    packed
                })
                .collect();
            let levels_of: Vec<FocalLevel<'_>> = kernels
                .iter()
                .zip(&packed)
                .map(|(&kernel, weights)| FocalLevel { kernel, weights })
                .collect();
            let problem = FocalContext {
                height,
                width,
                levels: &levels_of,
                scale: 0.2,
                input: Rows::planes(&in_planes, pixels, channels, planes),
                gates: Rows::row_major(&gates, pixels, levels + 1),
            };
            for pair in machines().chunks(2) {
                let mut answers = Vec::new();
                for cpu in pair {
                    let what = format!("{height}x{width}x{channels}, {kernels:?} on {cpu:?}");
                    let mut out = vec![f32::NAN; pixels * channels];
                    let mut global = vec![f32::NAN; channels];
                    let mut scratch = vec![f32::NAN; problem.scratch(cpu)];
                    let context = RowsMut::row_major(&mut out, pixels, channels);
                    problem.run(cpu, context.into(), &mut global, &mut scratch);
                    assert_close(&out, &want, bound, &what);
                    assert_close(&global, &want_global, bound, &what);
                    let mut narrow = vec![bf16::NAN; channels.div_ceil(32) * planes * 32];
                    let context = RowsMut::planes(&mut narrow, pixels, channels, planes);
                    problem.run(cpu, context.into(), &mut global, &mut scratch);
                    for (i, &wide) in out.iter().enumerate() {
                        let got = narrow
                            [(i % channels / 32 * planes + i / channels) * 32 + i % channels % 32];
                        assert_eq!(got, bf16::from_f32(wide), "{what}");
                    }
                    answers.push((out, global));
                }
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
