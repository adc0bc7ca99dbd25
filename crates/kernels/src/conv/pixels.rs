//! Convolution of pixels with channels, in the format of the packed weights, for inference.

use std::ops::Range;

use super::Conv;
use crate::buffer::check_scratch;
use crate::gemm::layout::SharedRows;
use crate::gemm::{Epilogue, Rows, RowsMut, Weights, linear, linear_scratch};
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// Output pixels whose patches are multiplied together.
const STRIP: usize = 112;

impl Conv {
    /// Weights `[out_channels, in_channels, kernel, kernel]` in the order that [`Conv::forward_pixels`] multiplies them,
    /// `[kernel, kernel, in_channels, out_channels]`, to be packed as [`Weights`].
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn reorder_weights(&self, weights: &[f32], reordered: &mut [f32]) {
        let taps = self.kernel.pow(2);
        let from = Matrix::row_major(weights, self.out_channels, self.in_channels * taps);
        assert_eq!(reordered.len(), weights.len(), "the weights of {self:?}");
        for (depth, to) in reordered.chunks_mut(self.out_channels.max(1)).enumerate() {
            let (tap, in_channel) = (depth / self.in_channels, depth % self.in_channels);
            for (out_channel, to) in to.iter_mut().enumerate() {
                *to = from.at(out_channel, in_channel * taps + tap);
            }
        }
    }

    /// Values of a patch.
    fn depth(&self) -> usize {
        self.kernel.pow(2) * self.in_channels
    }

    fn pixels_share(&self, weights: &Weights<'_>) -> usize {
        self.depth().next_multiple_of(LANES) * STRIP + linear_scratch(weights, STRIP)
    }

    /// Values of scratch space that [`Conv::forward_pixels`] takes.
    pub fn pixels_scratch(&self, cpu: &Cpu, weights: &Weights<'_>) -> usize {
        cpu.threads().count() * self.pixels_share(weights)
    }

    /// `y = conv(x) + bias` of pixels with channels: `x [batch * height * width, in_channels]` to
    /// `y [batch * pixels of the output, out_channels]`, with weights reordered by [`Conv::reorder_weights`].
    ///
    /// # Panics
    /// If the shapes do not fit together, or `scratch` has fewer values than [`Conv::pixels_scratch`] says.
    pub fn forward_pixels(
        &self,
        cpu: &Cpu,
        x: Rows<'_, f32>,
        (weights, bias): (&Weights<'_>, Option<&[f32]>),
        y: RowsMut<'_, f32>,
        scratch: &mut [f32],
    ) {
        let pixels = self.batch * self.output_size().iter().product::<usize>();
        let inputs = self.batch * self.height * self.width;
        assert_eq!((x.rows(), x.columns()), (inputs, self.in_channels), "the input of {self:?}");
        assert_eq!((y.rows(), y.columns()), (pixels, self.out_channels), "the output of {self:?}");
        assert_eq!(
            (weights.depth(), weights.columns()),
            (self.depth(), self.out_channels),
            "the weights of {self:?}"
        );
        check_scratch(scratch.len(), self.pixels_scratch(cpu, weights));
        let (y, share) = (y.shared(), self.pixels_share(weights));
        let alone = Cpu::single(cpu.isa());
        cpu.threads().each_with_scratch(
            scratch,
            share,
            (0..pixels).step_by(STRIP),
            |scratch, first| {
                let strip = first..pixels.min(first + STRIP);
                let (patches, scratch) =
                    scratch.split_at_mut(self.depth().next_multiple_of(LANES) * STRIP);
                let to =
                    RowsMut::planes(&mut *patches, strip.len(), self.depth(), strip.len()).shared();
                cpu.isa().run(Gather { conv: self, x, pixels: strip.clone(), to });
                let rows = Rows::planes(patches, strip.len(), self.depth(), strip.len());
                let epilogue = Epilogue { bias, ..Default::default() };
                // SAFETY: the strip's rows belong to this task alone.
                let output = unsafe { y.rows(strip.start, strip.len(), 0, self.out_channels) };
                linear(&alone, rows, weights, (&epilogue, output.into()), scratch);
            },
        );
    }
}

/// Writes the patches of some output pixels as rows, `[pixels, kernel * kernel * in_channels]`.
struct Gather<'a> {
    conv: &'a Conv,
    x: Rows<'a, f32>,
    pixels: Range<usize>,
    to: SharedRows<f32>,
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, x, pixels, to } = self;
        let [out_height, out_width] = conv.output_size();
        for (row, pixel) in pixels.enumerate() {
            let image = pixel / (out_height * out_width);
            let (top, left) =
                (pixel / out_width % out_height * conv.stride, pixel % out_width * conv.stride);
            for tap in 0..conv.kernel.pow(2) {
                let y = (top + tap / conv.kernel).wrapping_sub(conv.padding);
                let x_at = (left + tap % conv.kernel).wrapping_sub(conv.padding);
                let inside = y < conv.height && x_at < conv.width;
                let from =
                    (image * conv.height + y.min(conv.height)) * conv.width + x_at.min(conv.width);
                for channel in (0..conv.in_channels).step_by(LANES) {
                    let count = LANES.min(conv.in_channels - channel);
                    let value = if inside {
                        // SAFETY: the pixel and `count` channels lie in the image, side by side.
                        unsafe { x.lanes(s, from, channel, count) }
                    } else {
                        s.zero()
                    };
                    let column = tap * conv.in_channels + channel;
                    // SAFETY: the row and these columns lie in the matrix, which this task alone has.
                    unsafe { store_across_lines(s, to, row, column, count, value) };
                }
            }
        }
    }
}

/// Stores some columns, which may lie in two lines.
///
/// # Safety
/// The row and `count` columns, at most sixteen, from `column` on lie in the matrix; no other thread uses them.
#[inline(always)]
unsafe fn store_across_lines<S: Simd>(
    s: S,
    to: SharedRows<f32>,
    row: usize,
    column: usize,
    count: usize,
    value: S::F32,
) {
    let first = count.min(LANES - column % LANES);
    // SAFETY: promised by the caller; the columns of a line lie side by side.
    unsafe {
        if first == LANES {
            return s.store_ptr(to.at(row, column), value);
        }
        let mut lanes = [0.0; LANES];
        s.store(&mut lanes, value);
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), to.at(row, column), first);
        if first < count {
            std::ptr::copy_nonoverlapping(
                lanes[first..].as_ptr(),
                to.at(row, column + first),
                count - first,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::gemm::{Panels, QuantizedPanels, pack_bf16, pack_f32, pack_int8};
    use crate::testing::{Random, assert_close, machines};

    #[test]
    fn every_format_agrees_with_the_convolution_of_planes() {
        let conv = |[batch, in_channels, out_channels]: [usize; 3],
                    [height, width]: [usize; 2],
                    kernel,
                    stride,
                    padding| {
            Conv { batch, in_channels, out_channels, height, width, kernel, stride, padding }
        };
        let cases = [
            conv([1, 1, 1], [1, 1], 1, 1, 0),
            conv([2, 17, 5], [9, 6], 1, 1, 0),
            conv([1, 16, 33], [13, 14], 3, 2, 1),
            conv([1, 40, 34], [16, 11], 3, 1, 1),
            conv([2, 3, 8], [32, 25], 7, 4, 2),
        ];
        let mut random = Random::new(121);
        for conv in cases {
            let (inputs, outputs) =
                (conv.height * conv.width, conv.output_size().iter().product::<usize>());
            let x = random.vec(conv.batch * conv.in_channels * inputs);
            let (weights, bias) =
                (random.vec(conv.out_channels * conv.depth()), random.vec(conv.out_channels));
            let mut pixels = vec![0.0; x.len()];
            for (i, &x) in x.iter().enumerate() {
                let (image, channel) =
                    (i / (conv.in_channels * inputs), i / inputs % conv.in_channels);
                pixels[(image * inputs + i % inputs) * conv.in_channels + channel] = x;
            }
            for cpu in machines() {
                let what = format!("{conv:?} on {cpu:?}");
                let mut planes = vec![0.0; conv.batch * conv.out_channels * outputs];
                let mut scratch = vec![0.0; conv.forward_scratch(&cpu)];
                conv.forward(&cpu, &x, (&weights, Some(&bias)), &mut planes, &mut scratch);
                let want: Vec<f64> = (0..planes.len())
                    .map(|i| {
                        let (pixel, channel) = (i / conv.out_channels, i % conv.out_channels);
                        let image = pixel / outputs;
                        f64::from(
                            planes
                                [(image * conv.out_channels + channel) * outputs + pixel % outputs],
                        )
                    })
                    .collect();

                let mut reordered = vec![f32::NAN; weights.len()];
                conv.reorder_weights(&weights, &mut reordered);
                let matrix = Matrix::row_major(&reordered, conv.depth(), conv.out_channels);
                let (depth, columns) = (conv.depth(), conv.out_channels);
                let mut wide = vec![f32::NAN; Panels::<f32>::len(depth, columns)];
                pack_f32(&cpu, matrix, &mut wide);
                let mut narrow = vec![bf16::NAN; Panels::<bf16>::len(depth, columns)];
                pack_bf16(&cpu, matrix, &mut narrow);
                let mut bytes = vec![0i8; Panels::<i8>::len(depth, columns)];
                let (mut scales, mut offsets) =
                    (vec![0.0; columns], vec![0; columns.next_multiple_of(32)]);
                pack_int8(&cpu, matrix, &mut bytes, &mut scales, &mut offsets);
                // Values and weights are rounded to 9 bits in bfloat16, and to 1/254 of the greatest in bytes.
                let terms = depth as f64;
                let formats = [
                    (Weights::F32(Panels::new(&wide, depth, columns)), 4e-7 * terms + 1e-6),
                    (
                        Weights::Bf16(Panels::new(&narrow, depth, columns)),
                        2.0f64.powi(-8) * terms.sqrt() * 3.0,
                    ),
                    (
                        Weights::Int8(QuantizedPanels::new(
                            Panels::new(&bytes, depth, columns),
                            &scales,
                            &offsets,
                        )),
                        terms.sqrt() * 3.0 / 127.0,
                    ),
                ];
                for (weights, bound) in formats {
                    let rows = Rows::row_major(&pixels, conv.batch * inputs, conv.in_channels);
                    let mut y = vec![f32::NAN; want.len()];
                    let output =
                        RowsMut::row_major(&mut y, conv.batch * outputs, conv.out_channels);
                    let mut scratch = vec![f32::NAN; conv.pixels_scratch(&cpu, &weights)];
                    conv.forward_pixels(&cpu, rows, (&weights, Some(&bias)), output, &mut scratch);
                    assert_close(
                        &y,
                        &want,
                        bound,
                        format!("{what}, {}", &format!("{weights:?}")[..4]),
                    );
                }
            }
        }
    }
}
