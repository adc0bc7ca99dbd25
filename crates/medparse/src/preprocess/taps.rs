//! The weights of a bicubic resize along one axis, as Pillow computes them.

/// Fractional bits of a weight: what 32 bits leave beside 8 bits of pixel and 2 of headroom.
pub(super) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Half the width of the cubic, in source pixels when enlarging.
const SUPPORT: f64 = 2.0;

/// A stretch of pixels on a longer axis: where it begins and how long the axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) offset: usize,
    pub(super) axis: usize,
}

/// For every output pixel of an axis the source pixels it takes and their weights.
pub(super) struct Taps {
    /// First source pixel and end in `weights`, for every output pixel.
    windows: Vec<(usize, usize)>,
    weights: Vec<i32>,
    identity: bool,
}

impl Taps {
    /// Taps that resize an axis to `target` pixels, of which `source` lie where `span` says and the
    /// rest is 0.
    pub(super) fn new(span: Span, source: usize, target: usize) -> Self {
        let scale = span.axis as f64 / target as f64;
        let stretch = scale.max(1.0);
        let support = SUPPORT * stretch;
        let mut windows = Vec::with_capacity(target);
        let mut weights = Vec::new();
        let mut window = Vec::new();
        for index in 0..target {
            let center = (index as f64 + 0.5) * scale;
            // `as` cuts towards zero and ends at zero, as Pillow's conversions and bounds do.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(span.axis);
            window.clear();
            window.extend((first..end).map(|x| cubic((x as f64 - center + 0.5) * (1.0 / stretch))));
            let total: f64 = window.iter().sum();
            // Only what falls on the stretch that has pixels is kept; the rest would be multiplied
            // by 0.
            let begin = first.max(span.offset);
            let stop = end.min(span.offset + source).max(begin);
            let kept = window.iter().skip(begin - first).take(stop - begin);
            weights.extend(kept.map(|weight| fixed_point(weight / total)));
            let start = if begin < stop { begin - span.offset } else { 0 };
            windows.push((start, weights.len()));
        }
        Self { windows, weights, identity: span.axis == target && source == target }
    }

    /// Whether every output pixel is the source pixel of the same place.
    pub(super) fn is_identity(&self) -> bool {
        self.identity
    }

    /// How many output pixels there are.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// For every output pixel the first source pixel and the weights from there on.
    #[inline(always)]
    pub(super) fn windows(&self) -> impl Iterator<Item = (usize, &[i32])> {
        (0..self.windows.len()).map(|index| {
            let begin = index.checked_sub(1).map_or(0, |before| self.windows[before].1);
            let (start, end) = self.windows[index];
            (start, &self.weights[begin..end])
        })
    }
}

/// The cubic convolution kernel of Keys (IEEE Trans. ASSP 29(6), 1981) with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A weight in fixed point, halves rounded away from zero.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (scaled + 0.5_f64.copysign(scaled)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_fit_32_bits() {
        for source in 1..40 {
            for target in 1..60 {
                let span = Span { offset: 0, axis: source };
                for (_, weights) in Taps::new(span, source, target).windows() {
                    let largest: i64 =
                        weights.iter().map(|weight| 255 * i64::from(weight.abs())).sum();
                    assert!(
                        largest + (1 << PRECISION_BITS) < i64::from(i32::MAX),
                        "{source} to {target}"
                    );
                }
            }
        }
    }
}
