//! Parameters and statistics (T.87 annex A, sections A.2 and A.6).
//!
//! Sums of errors saturate: a damaged code can claim any error.

use super::super::CodecError;

/// What a scan's arithmetic depends on.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub most: i32,
    pub near: i32,
    thresholds: [i32; 3],
    reset: i32,
    /// RANGE.
    pub range: i32,
    /// qbpp: bits of an escaped error.
    pub escape_bits: u32,
    /// LIMIT: the longest code.
    pub limit: u32,
}

impl Parameters {
    pub fn new(precision: u32, near: u8, preset: Option<[u16; 5]>) -> Result<Self, CodecError> {
        let or_default =
            |value: u16, default: i32| if value == 0 { default } else { i32::from(value) };
        let preset = preset.unwrap_or_default();
        let near = i32::from(near);
        let most = or_default(preset[0], (1 << precision) - 1);
        if near > most / 2 || most >= 1 << precision || most < 1 {
            return Err(CodecError::damaged(format!(
                "JPEG-LS with an error of {near} and values to {most}"
            )));
        }
        let defaults = default_thresholds(most, near);
        let thresholds = [1, 2, 3].map(|at| or_default(preset[at], defaults[at - 1]));
        let reset = or_default(preset[4], 64).max(3);
        let range = (most + 2 * near) / (2 * near + 1) + 1;
        let bits = bits_for(most + 1).max(2);
        Ok(Self {
            most,
            near,
            thresholds,
            reset,
            range,
            escape_bits: bits_for(range),
            limit: 2 * (bits + bits.max(8)),
        })
    }

    /// The width of a quantization step.
    pub fn step(&self) -> i32 {
        2 * self.near + 1
    }

    /// A gradient's class, −4 to 4.
    pub fn class(&self, gradient: i32) -> i32 {
        let size = gradient.abs();
        let [first, second, third] = self.thresholds;
        let class = match size {
            _ if size <= self.near => 0,
            _ if size < first => 1,
            _ if size < second => 2,
            _ if size < third => 3,
            _ => 4,
        };
        class * gradient.signum()
    }

    /// The sample that lies `error` steps from the prediction.
    pub fn reconstruct(&self, predicted: i32, error: i32) -> i32 {
        let span = self.range * self.step();
        let mut value = predicted.saturating_add(error.saturating_mul(self.step()));
        if value < -self.near {
            value += span;
        } else if value > self.most + self.near {
            value -= span;
        }
        value.clamp(0, self.most)
    }
}

/// The least number of bits for `count` values.
fn bits_for(count: i32) -> u32 {
    u32::BITS - (count.max(1) as u32 - 1).leading_zeros()
}

/// T.87 section C.2.4.1.1.1.
fn default_thresholds(most: i32, near: i32) -> [i32; 3] {
    const BASIC: [i32; 3] = [3, 7, 21];
    let mut least = near + 1;
    let mut thresholds = [0; 3];
    for (place, (threshold, basic)) in thresholds.iter_mut().zip(BASIC).enumerate() {
        let place = place as i32;
        let margin = (2 * place + 3) * near;
        let wanted = if most >= 128 {
            let factor = (most.min(4095) + 128) / 256;
            factor * (basic - (place + 2)) + place + 2 + margin
        } else {
            let factor = 256 / (most + 1);
            (basic / factor + margin).max(place + 2)
        };
        *threshold = if wanted > most || wanted < least { least } else { wanted };
        least = *threshold;
    }
    thresholds
}

/// The statistics of one context of regular mode.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    sum: i32,
    bias: i32,
    /// C: what is added to the prediction.
    pub correction: i32,
    count: i32,
}

impl Context {
    pub fn new(parameters: &Parameters) -> Self {
        Self { sum: ((parameters.range + 32) / 64).max(2), bias: 0, correction: 0, count: 1 }
    }

    /// The code's parameter.
    pub fn k(&self) -> u32 {
        golomb(self.count, self.sum)
    }

    /// The error behind a code's value (T.87 section A.5.3).
    pub fn unmap(&self, code: i32, k: u32, near: i32) -> i32 {
        let plain = if code & 1 == 0 { code >> 1 } else { -((code + 1) >> 1) };
        if near == 0 && k == 0 && 2 * self.bias <= -self.count { -1 - plain } else { plain }
    }

    pub fn update(&mut self, error: i32, parameters: &Parameters) {
        self.bias = self.bias.saturating_add(error.saturating_mul(parameters.step()));
        self.sum = self.sum.saturating_add(error.abs());
        if self.count == parameters.reset {
            self.sum >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// The statistics of the sample that ends a run.
#[derive(Clone, Copy, Debug)]
pub struct RunContext {
    sum: i32,
    count: i32,
    negative: i32,
    /// 1 where the neighbours agree.
    kind: i32,
}

impl RunContext {
    pub fn new(parameters: &Parameters, kind: i32) -> Self {
        Self { sum: ((parameters.range + 32) / 64).max(2), count: 1, negative: 0, kind }
    }

    pub fn k(&self) -> u32 {
        golomb(self.count, self.sum.saturating_add(self.kind * (self.count >> 1)))
    }

    /// The error behind a code's value (T.87 section A.7.2.2).
    pub fn unmap(&self, code: i32, k: u32) -> i32 {
        let code = code + self.kind;
        let odd = code & 1 == 1;
        let size = (code + i32::from(odd)) / 2;
        let negative_first = k != 0 || 2 * self.negative >= self.count;
        if negative_first == odd { -size } else { size }
    }

    pub fn update(&mut self, error: i32, code: i32, parameters: &Parameters) {
        self.negative += i32::from(error < 0);
        self.sum = self.sum.saturating_add((code + 1 - self.kind) >> 1);
        if self.count == parameters.reset {
            self.sum >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
    }
}

/// The least k with `count` · 2ᵏ at least `sum`.
fn golomb(count: i32, sum: i32) -> u32 {
    (0..24).find(|k| i64::from(count) << k >= i64::from(sum)).unwrap_or(24)
}
