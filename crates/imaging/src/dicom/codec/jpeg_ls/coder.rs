//! Samples from bits, in regular and in run mode (T.87 annex A).

use super::super::CodecError;
use super::context::{Context, Parameters, RunContext};

/// J: bits of a run's length (T.87 section A.7.1.1).
const RUN_BITS: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13,
    14, 15,
];

/// The line being decoded and the one above, each with a sample more at both ends.
pub struct Lines {
    above: Vec<i32>,
    current: Vec<i32>,
    run_index: usize,
}

impl Lines {
    pub fn new(width: usize) -> Self {
        Self { above: vec![0; width + 2], current: vec![0; width + 2], run_index: 0 }
    }

    /// The current line becomes the one above; the ends continue as T.87 section A.2.1 says.
    pub fn begin(&mut self) {
        std::mem::swap(&mut self.above, &mut self.current);
        let last = self.above.len() - 1;
        self.above[last] = self.above[last - 1];
        self.current[0] = self.above[1];
    }

    /// The samples of the line.
    pub fn current(&self) -> &[i32] {
        &self.current[1..self.current.len() - 1]
    }

    fn width(&self) -> usize {
        self.current.len() - 2
    }

    /// left, above, above left, above right of the sample at `x`, from 0.
    fn neighbours(&self, x: usize) -> [i32; 4] {
        [self.current[x], self.above[x + 1], self.above[x], self.above[x + 2]]
    }
}

pub struct Coder<'a> {
    bits: Bits<'a>,
    parameters: Parameters,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
}

impl<'a> Coder<'a> {
    pub fn new(bytes: &'a [u8], parameters: Parameters) -> Self {
        Self {
            bits: Bits { rest: bytes, held: 0, count: 0, after_ff: false },
            contexts: vec![Context::new(&parameters); 365],
            runs: [0, 1].map(|kind| RunContext::new(&parameters, kind)),
            parameters,
        }
    }

    /// What follows the scan.
    pub fn rest(&self) -> &'a [u8] {
        self.bits.rest
    }

    /// A line of one component.
    pub fn line(&mut self, lines: &mut Lines) -> Result<(), CodecError> {
        let mut x = 0;
        while x < lines.width() {
            let neighbours = lines.neighbours(x);
            if !self.is_flat(neighbours) {
                lines.current[x + 1] = self.regular(neighbours)?;
                x += 1;
                continue;
            }
            let (run, ended) = self.run(lines.width() - x, &mut lines.run_index)?;
            let value = lines.current[x];
            lines.current[x + 1..=x + run].fill(value);
            x += run;
            if ended {
                let [left, above, ..] = lines.neighbours(x);
                let alike = (left - above).abs() <= self.parameters.near;
                let kind = usize::from(alike);
                let error = self.interruption(kind, lines.run_index)?;
                lines.current[x + 1] = if alike {
                    self.parameters.reconstruct(left, error)
                } else {
                    let sign = if left > above { -1 } else { 1 };
                    self.parameters.reconstruct(above, error * sign)
                };
                lines.run_index = lines.run_index.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// A line of all components, sample by sample.
    pub fn samples(&mut self, lines: &mut [Lines]) -> Result<(), CodecError> {
        let width = lines.first().map_or(0, Lines::width);
        let mut run_index = lines.first().map_or(0, |line| line.run_index);
        let mut x = 0;
        while x < width {
            if !lines.iter().all(|line| self.is_flat(line.neighbours(x))) {
                for line in lines.iter_mut() {
                    line.current[x + 1] = self.regular(line.neighbours(x))?;
                }
                x += 1;
                continue;
            }
            let (run, ended) = self.run(width - x, &mut run_index)?;
            for line in lines.iter_mut() {
                let value = line.current[x];
                line.current[x + 1..=x + run].fill(value);
            }
            x += run;
            if ended {
                for line in lines.iter_mut() {
                    let [left, above, ..] = line.neighbours(x);
                    let error = self.interruption(0, run_index)?;
                    let sign = if left > above { -1 } else { 1 };
                    line.current[x + 1] = self.parameters.reconstruct(above, error * sign);
                }
                run_index = run_index.saturating_sub(1);
                x += 1;
            }
        }
        if let Some(line) = lines.first_mut() {
            line.run_index = run_index;
        }
        Ok(())
    }

    fn is_flat(&self, [left, above, corner, right]: [i32; 4]) -> bool {
        let near = self.parameters.near;
        let small = |gradient: i32| gradient.abs() <= near;
        small(right - above) && small(above - corner) && small(corner - left)
    }

    fn regular(&mut self, [left, above, corner, right]: [i32; 4]) -> Result<i32, CodecError> {
        let parameters = self.parameters;
        let class = |gradient| parameters.class(gradient);
        let joined = 81 * class(right - above) + 9 * class(above - corner) + class(corner - left);
        let sign = if joined < 0 { -1 } else { 1 };
        let context = &mut self.contexts[joined.unsigned_abs() as usize];
        let predicted = if corner >= left.max(above) {
            left.min(above)
        } else if corner <= left.min(above) {
            left.max(above)
        } else {
            left + above - corner
        };
        let predicted = (predicted + sign * context.correction).clamp(0, parameters.most);
        let k = context.k();
        let code = self.bits.golomb(k, parameters.limit, parameters.escape_bits)?;
        let error = context.unmap(code, k, parameters.near);
        context.update(error, &parameters);
        Ok(parameters.reconstruct(predicted, sign * error))
    }

    /// How many samples continue as they are, and whether a differing one follows.
    fn run(&mut self, room: usize, index: &mut usize) -> Result<(usize, bool), CodecError> {
        let mut run = 0;
        while self.bits.take(1)? == 1 {
            let length = 1 << RUN_BITS[*index];
            if length <= room - run {
                run += length;
                *index = (*index + 1).min(31);
            } else {
                run = room;
            }
            if run == room {
                return Ok((run, false));
            }
        }
        run += self.bits.take(RUN_BITS[*index])? as usize;
        if run >= room {
            return Err(CodecError::damaged("a JPEG-LS run is longer than its line"));
        }
        Ok((run, true))
    }

    fn interruption(&mut self, kind: usize, run_index: usize) -> Result<i32, CodecError> {
        let context = &mut self.runs[kind];
        let k = context.k();
        let limit = self.parameters.limit - RUN_BITS[run_index] - 1;
        let code = self.bits.golomb(k, limit, self.parameters.escape_bits)?;
        let error = context.unmap(code, k);
        context.update(error, code, &self.parameters);
        Ok(error)
    }
}

/// Bits, first bit highest; the bit behind a byte of ones is stuffed (T.87 section A.1).
struct Bits<'a> {
    rest: &'a [u8],
    held: u64,
    count: u32,
    after_ff: bool,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            let [byte, rest @ ..] = self.rest else { return };
            if self.after_ff && *byte >= 0x80 {
                return;
            }
            // A marker's first byte belongs to the marker.
            if *byte == 0xff && rest.first().is_none_or(|next| *next >= 0x80) {
                return;
            }
            let bits = if self.after_ff { 7 } else { 8 };
            self.held = self.held << bits | u64::from(*byte);
            self.count += bits;
            self.after_ff = *byte == 0xff;
            self.rest = rest;
        }
    }

    fn take(&mut self, count: u32) -> Result<i32, CodecError> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(CodecError::Truncated)?;
        Ok((self.held >> self.count & ((1 << count) - 1)) as i32)
    }

    /// A limited-length Golomb code (T.87 section A.5.3).
    fn golomb(&mut self, k: u32, limit: u32, escape_bits: u32) -> Result<i32, CodecError> {
        let escape = limit.saturating_sub(escape_bits + 1);
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > escape {
                return Err(CodecError::damaged("a JPEG-LS code is too long"));
            }
        }
        if zeros < escape {
            return Ok((zeros as i32) << k | self.take(k)?);
        }
        Ok(self.take(escape_bits)? + 1)
    }
}
