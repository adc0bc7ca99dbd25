//! Changing the size of images: bilinear without smoothing, and nearest neighbour.
//!
//! Both follow PyTorch's `interpolate` with `align_corners=False`: output pixel `d` lies at `(d + 0.5) * in / out - 0.5` of
//! the input, not below zero, and the nearest neighbour is the pixel at `floor(d * in / out)`.

use std::ops::Range;

use crate::gemm::layout::SharedRows;
use crate::gemm::{Rows, RowsMut};
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// From one size, `[height, width]`, to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// The input's size.
    pub from: [usize; 2],
    /// The output's size.
    pub to: [usize; 2],
}

/// Two neighbours and the weight of the second.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    weight: f32,
}

/// Where an output pixel lies between those of the input.
#[inline(always)]
fn between(at: usize, from: usize, to: usize) -> Between {
    let place = ((at as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
    let first = (place as usize).min(from - 1);
    Between { first, second: (first + 1).min(from - 1), weight: place - first as f32 }
}

#[inline(always)]
fn nearest(at: usize, from: usize, to: usize) -> usize {
    ((at as f32 * (from as f32 / to as f32)) as usize).min(from - 1)
}

impl Resize {
    fn pixels(&self) -> [usize; 2] {
        [self.from[0] * self.from[1], self.to[0] * self.to[1]]
    }

    #[track_caller]
    fn check_rows(&self, input: (usize, usize), output: (usize, usize)) {
        let [from, to] = self.pixels();
        assert_eq!((input.0, output.0), (from, to), "a row for each pixel of {self:?}");
        assert_eq!(input.1, output.1, "as many channels as before");
        assert!(to == 0 || from > 0, "nothing to make pixels of");
    }

    #[track_caller]
    fn check_planes(&self, input: usize, output: usize) -> usize {
        let [from, to] = self.pixels();
        let planes = input.checked_div(from).unwrap_or(0);
        assert!(
            input == planes * from && output == planes * to,
            "planes of {self:?}, not {input} and {output} values"
        );
        planes
    }

    /// Bilinear, of pixels with channels: `x [from, channels]` to `y [to, channels]`.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    pub fn bilinear_rows(&self, cpu: &Cpu, x: Rows<'_, f32>, y: RowsMut<'_, f32>) {
        self.check_rows((x.rows(), x.columns()), (y.rows(), y.columns()));
        let (channels, y) = (x.columns(), y.shared());
        cpu.threads().each(0..self.to[0], |row| {
            cpu.isa().run(PixelRow { resize: self, x, channels, y, row, method: Method::Bilinear });
        });
    }

    /// Adds the nearest neighbours, of pixels with channels: `y [to, channels]` plus those of `x [from, channels]`.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    pub fn add_nearest_rows(&self, cpu: &Cpu, x: Rows<'_, f32>, y: RowsMut<'_, f32>) {
        self.check_rows((x.rows(), x.columns()), (y.rows(), y.columns()));
        let (channels, y) = (x.columns(), y.shared());
        cpu.threads().each(0..self.to[0], |row| {
            cpu.isa().run(PixelRow {
                resize: self,
                x,
                channels,
                y,
                row,
                method: Method::AddNearest,
            });
        });
    }

    /// Values of scratch space that [`Resize::bilinear_planes`] takes.
    pub fn planes_scratch(&self, cpu: &Cpu) -> usize {
        cpu.threads().count() * 2 * self.to[1]
    }

    /// Bilinear, plane by plane: `x [planes, from]` to `y [planes, to]`.
    ///
    /// # Panics
    /// If the lengths do not fit the sizes, or `scratch` has fewer values than [`Resize::planes_scratch`] says.
    pub fn bilinear_planes(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        self.check_planes(x.len(), y.len());
        if y.is_empty() {
            return;
        }
        let ([from, to], width) = (self.pixels(), self.to[1]);
        let tasks = x.chunks(from).zip(y.chunks_mut(to)).flat_map(|(x, y)| {
            y.chunks_mut(BAND * width).enumerate().map(move |(band, y)| (x, band * BAND, y))
        });
        cpu.threads().each_with_scratch(scratch, 2 * width, tasks, |scratch, (x, first, y)| {
            cpu.isa().run(Planes { resize: self, x, first, y, kept: scratch });
        });
    }

    /// The gradient of [`Resize::bilinear_planes`]'s input: `dy [planes, to]` to `dx [planes, from]`.
    ///
    /// # Panics
    /// If the lengths do not fit the sizes.
    pub fn bilinear_planes_backward(&self, cpu: &Cpu, dy: &[f32], dx: &mut [f32]) {
        self.check_planes(dx.len(), dy.len());
        dx.fill(0.0);
        if dy.is_empty() {
            return;
        }
        let ([from, to], [height, width]) = (self.pixels(), self.to);
        cpu.threads().each(dy.chunks(to).zip(dx.chunks_mut(from)), |(dy, dx)| {
            for (i, &slope) in dy.iter().enumerate() {
                let (row, column) = (
                    between(i / width, self.from[0], height),
                    between(i % width, self.from[1], width),
                );
                for (y, of_row) in [(row.first, 1.0 - row.weight), (row.second, row.weight)] {
                    let dx = &mut dx[y * self.from[1]..][..self.from[1]];
                    dx[column.first] += slope * of_row * (1.0 - column.weight);
                    dx[column.second] += slope * of_row * column.weight;
                }
            }
        });
    }

    /// Nearest neighbour, plane by plane: `x [planes, from]` to `y [planes, to]`.
    ///
    /// # Panics
    /// If the lengths do not fit the sizes.
    pub fn nearest_planes<T: Copy + Send + Sync>(&self, cpu: &Cpu, x: &[T], y: &mut [T]) {
        self.check_planes(x.len(), y.len());
        if y.is_empty() {
            return;
        }
        let ([from, to], [height, width]) = (self.pixels(), self.to);
        cpu.threads().each(x.chunks(from).zip(y.chunks_mut(to)), |(x, y)| {
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let x = &x[nearest(row, self.from[0], height) * self.from[1]..][..self.from[1]];
                for (column, y) in y.iter_mut().enumerate() {
                    *y = x[nearest(column, self.from[1], width)];
                }
            }
        });
    }

    /// The gradient of [`Resize::nearest_planes`]'s input: `dy [planes, to]` to `dx [planes, from]`.
    ///
    /// # Panics
    /// If the lengths do not fit the sizes.
    pub fn nearest_planes_backward(&self, cpu: &Cpu, dy: &[f32], dx: &mut [f32]) {
        self.check_planes(dx.len(), dy.len());
        dx.fill(0.0);
        if dy.is_empty() {
            return;
        }
        let ([from, to], [height, width]) = (self.pixels(), self.to);
        cpu.threads().each(dy.chunks(to).zip(dx.chunks_mut(from)), |(dy, dx)| {
            for (row, dy) in dy.chunks_exact(width).enumerate() {
                let dx =
                    &mut dx[nearest(row, self.from[0], height) * self.from[1]..][..self.from[1]];
                for (column, slope) in dy.iter().enumerate() {
                    dx[nearest(column, self.from[1], width)] += slope;
                }
            }
        });
    }
}

/// Rows of a plane in a task.
const BAND: usize = 64;

#[derive(Clone, Copy)]
enum Method {
    Bilinear,
    AddNearest,
}

/// One row of pixels with channels.
struct PixelRow<'a> {
    resize: &'a Resize,
    x: Rows<'a, f32>,
    channels: usize,
    y: SharedRows<f32>,
    row: usize,
    method: Method,
}

impl Kernel for PixelRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { resize: &Resize { from, to }, x, channels, y, row, method } = self;
        let rows = between(row, from[0], to[0]);
        let [low, high] = [1.0 - rows.weight, rows.weight].map(|weight| s.splat(weight));
        for column in 0..to[1] {
            let columns = between(column, from[1], to[1]);
            let [left, right] =
                [1.0 - columns.weight, columns.weight].map(|weight| s.splat(weight));
            let corner = |y: usize, x: usize| y * from[1] + x;
            let near = corner(nearest(row, from[0], to[0]), nearest(column, from[1], to[1]));
            for channel in (0..channels).step_by(LANES) {
                let count = LANES.min(channels - channel);
                // SAFETY: all pixels lie in their images; this task alone has this row of the output.
                unsafe {
                    let out =
                        std::slice::from_raw_parts_mut(y.at(row * to[1] + column, channel), count);
                    let sum = match method {
                        Method::Bilinear => {
                            let top = s.mul(
                                x.lanes(s, corner(rows.first, columns.first), channel, count),
                                left,
                            );
                            let second =
                                x.lanes(s, corner(rows.first, columns.second), channel, count);
                            let top = s.mul_add(second, right, top);
                            let bottom = s.mul(
                                x.lanes(s, corner(rows.second, columns.first), channel, count),
                                left,
                            );
                            let second =
                                x.lanes(s, corner(rows.second, columns.second), channel, count);
                            let bottom = s.mul_add(second, right, bottom);
                            s.mul_add(bottom, high, s.mul(top, low))
                        }
                        Method::AddNearest => {
                            s.add(s.load_part(out, 0.0), x.lanes(s, near, channel, count))
                        }
                    };
                    s.store_part(out, sum);
                }
            }
        }
    }
}

/// Some rows of a plane. Each row of the input that is needed is brought to the new width once.
struct Planes<'a> {
    resize: &'a Resize,
    x: &'a [f32],
    first: usize,
    y: &'a mut [f32],
    /// `[2][width]`: the widened row `r` at `r % 2`.
    kept: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { resize: &Resize { from, to }, x, first, y, kept } = self;
        let width = to[1];
        let mut widened: Range<usize> = 0..0;
        for (index, y) in y.chunks_exact_mut(width).enumerate() {
            let rows = between(first + index, from[0], to[0]);
            for row in [rows.first, rows.second] {
                if !widened.contains(&row) {
                    widen(&x[row * from[1]..][..from[1]], &mut kept[row % 2 * width..][..width]);
                    // Rows rise, and at most the one before the last is needed again.
                    let before = if widened.end == row {
                        row.saturating_sub(1).max(widened.start)
                    } else {
                        row
                    };
                    widened = before..row + 1;
                }
            }
            let [low, high] = [1.0 - rows.weight, rows.weight].map(|weight| s.splat(weight));
            for (start, y) in (0..width).step_by(LANES).zip(y.chunks_mut(LANES)) {
                let top = s.load_part(&kept[rows.first % 2 * width + start..][..y.len()], 0.0);
                let bottom = s.load_part(&kept[rows.second % 2 * width + start..][..y.len()], 0.0);
                s.store_part(y, s.mul_add(bottom, high, s.mul(top, low)));
            }
        }
    }
}

/// Brings a row to another width.
#[inline(always)]
fn widen(from: &[f32], to: &mut [f32]) {
    let width = to.len();
    for (column, to) in to.iter_mut().enumerate() {
        let Between { first, second, weight } = between(column, from.len(), width);
        *to = from[first] * (1.0 - weight) + from[second] * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, machines};

    /// Rows, columns and weights that make up each output pixel, in f64.
    fn terms(resize: &Resize, mut f: impl FnMut(usize, usize, f64)) {
        let axis = |at: usize, from: usize, to: usize| {
            let place = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
            let first = (place.floor() as usize).min(from - 1);
            [(first, 1.0 - place.fract()), ((first + 1).min(from - 1), place.fract())]
        };
        for (y, x) in (0..resize.to[0]).flat_map(|y| (0..resize.to[1]).map(move |x| (y, x))) {
            for (row, of_row) in axis(y, resize.from[0], resize.to[0]) {
                for (column, of_column) in axis(x, resize.from[1], resize.to[1]) {
                    f(y * resize.to[1] + x, row * resize.from[1] + column, of_row * of_column);
                }
            }
        }
    }

    const SIZES: [([usize; 2], [usize; 2]); 8] = [
        ([1, 1], [1, 1]),
        ([1, 1], [5, 7]),
        ([7, 5], [1, 1]),
        ([8, 12], [4, 3]),
        ([4, 6], [8, 12]),
        ([16, 16], [100, 37]),
        ([33, 20], [7, 45]),
        ([3, 3], [0, 4]),
    ];

    #[test]
    fn bilinear_agrees_with_f64_and_its_gradient_is_the_transpose() {
        let mut random = Random::new(91);
        for (from, to) in SIZES {
            let resize = Resize { from, to };
            for planes in [1, 19] {
                let [inputs, outputs] = resize.pixels();
                let (x, dy) = (random.vec(planes * inputs), random.vec(planes * outputs));
                let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
                for plane in 0..planes {
                    terms(&resize, |to, from, weight| {
                        y[plane * outputs + to] += weight * f64::from(x[plane * inputs + from]);
                        dx[plane * inputs + from] += weight * f64::from(dy[plane * outputs + to]);
                    });
                }
                // The same, with the planes as channels of pixels.
                let turned: Vec<f32> =
                    (0..x.len()).map(|i| x[i % planes * inputs + i / planes]).collect();
                for pair in machines().chunks(2) {
                    let answers = [&pair[0], &pair[1]].map(|cpu| {
                        let what = format!("{planes} planes, {resize:?} on {cpu:?}");
                        let mut scratch = vec![f32::NAN; resize.planes_scratch(cpu)];
                        let mut got = vec![f32::NAN; y.len()];
                        resize.bilinear_planes(cpu, &x, &mut got, &mut scratch);
                        assert_close(&got, &y, 1e-5, &what);
                        let mut slope = vec![f32::NAN; x.len()];
                        resize.bilinear_planes_backward(cpu, &dy, &mut slope);
                        assert_close(&slope, &dx, 1e-4, &what);
                        let mut pixels = vec![f32::NAN; y.len()];
                        let from = Rows::row_major(&turned, inputs, planes);
                        resize.bilinear_rows(
                            cpu,
                            from,
                            RowsMut::row_major(&mut pixels, outputs, planes),
                        );
                        let back: Vec<f32> = (0..y.len())
                            .map(|i| pixels[i % outputs * planes + i / outputs])
                            .collect();
                        assert_close(&back, &y, 1e-5, &what);
                        [got, slope, back]
                    });
                    assert_eq!(answers[0], answers[1], "one and several threads");
                }
            }
        }
    }

    #[test]
    fn nearest_copies_and_its_gradient_adds() {
        let mut random = Random::new(92);
        for (from, to) in SIZES {
            let resize = Resize { from, to };
            let [inputs, outputs] = resize.pixels();
            let channels = 18;
            let (x, y) = (random.vec(channels * inputs), random.vec(channels * outputs));
            let source = |i: usize| {
                i / to[1].max(1) * from[0] / to[0].max(1) * from[1]
                    + i % to[1].max(1) * from[1] / to[1].max(1)
            };
            for cpu in machines() {
                let mut sum = y.clone();
                let rows = RowsMut::row_major(&mut sum, outputs, channels);
                resize.add_nearest_rows(&cpu, Rows::row_major(&x, inputs, channels), rows);
                for (i, &got) in sum.iter().enumerate() {
                    assert_eq!(got, y[i] + x[source(i / channels) * channels + i % channels]);
                }
                let (mut copied, mut slopes) = (vec![f32::NAN; outputs], vec![f32::NAN; inputs]);
                resize.nearest_planes(&cpu, &x[..inputs], &mut copied);
                resize.nearest_planes_backward(&cpu, &y[..outputs], &mut slopes);
                let mut want = vec![0.0; inputs];
                for i in 0..outputs {
                    assert_eq!(copied[i], x[source(i)]);
                    want[source(i)] += f64::from(y[i]);
                }
                assert_close(&slopes, &want, 1e-4, format!("{resize:?}"));
            }
        }
    }
}
