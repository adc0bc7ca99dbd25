//! JPEG-LS (ITU-T T.87; Weinberger, Seroussi and Sapiro, "The LOCO-I lossless image compression algorithm", 2000),
//! lossless and near-lossless, all three interleave modes.

mod coder;
mod context;

use super::{Chroma, CodecError, Decoded, expect_shape};
use crate::dicom::frames::FrameShape;
use coder::{Coder, Lines};
use context::Parameters;

pub fn decode(bytes: &[u8], shape: &FrameShape) -> Result<Decoded, CodecError> {
    let mut parser = Parser { rest: bytes, precision: 0, components: Vec::new(), preset: None };
    let mut samples = vec![0; shape.samples()];
    let mut done = 0;
    while done < shape.components {
        let Some(scan) = parser.next_scan(shape)? else {
            return Err(CodecError::damaged("its JPEG-LS lacks a component's scan"));
        };
        let rest = scan.decode(&mut samples, shape, parser.rest)?;
        done += scan.components.len();
        parser.rest = rest;
    }
    Ok(Decoded { samples, bits: parser.precision, color: Chroma::AsStated })
}

/// How the components of a scan follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interleave {
    /// One component alone.
    None,
    Line,
    Sample,
}

struct Scan {
    /// The places of its components in the frame.
    components: Vec<usize>,
    interleave: Interleave,
    parameters: Parameters,
    shift: u8,
}

/// The markers (T.87 annex C).
struct Parser<'a> {
    rest: &'a [u8],
    precision: u32,
    components: Vec<u8>,
    /// Greatest value, three thresholds and the reset interval; 0 for the default.
    preset: Option<[u16; 5]>,
}

impl<'a> Parser<'a> {
    /// Reads to the next scan's bits; `None` at the end of the image.
    fn next_scan(&mut self, shape: &FrameShape) -> Result<Option<Scan>, CodecError> {
        loop {
            match self.marker()? {
                0xd0..=0xd8 => {}
                0xd9 => return Ok(None),
                0xf7 => {
                    let segment = self.segment()?;
                    self.frame(segment, shape)?;
                }
                0xf8 => {
                    let segment = self.segment()?;
                    self.extension(segment)?;
                }
                0xda => {
                    let segment = self.segment()?;
                    return self.scan(segment).map(Some);
                }
                0xdd => {
                    let segment = self.segment()?;
                    if segment.iter().any(|byte| *byte != 0) {
                        return Err(CodecError::unsupported("JPEG-LS with restart intervals"));
                    }
                }
                0xc0..=0xcf => {
                    return Err(CodecError::damaged(
                        "its compressed pixels are a JPEG, not JPEG-LS",
                    ));
                }
                _ => {
                    self.segment()?;
                }
            }
        }
    }

    fn marker(&mut self) -> Result<u8, CodecError> {
        loop {
            match self.rest {
                [0xff, code, rest @ ..] if *code >= 0x80 && *code != 0xff => {
                    self.rest = rest;
                    return Ok(*code);
                }
                [_, rest @ ..] => self.rest = rest,
                [] => return Err(CodecError::Truncated),
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.rest.first_chunk::<2>().ok_or(CodecError::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length)).max(2);
        let segment = self.rest.get(2..length).ok_or(CodecError::Truncated)?;
        self.rest = &self.rest[length..];
        Ok(segment)
    }

    fn frame(&mut self, segment: &[u8], shape: &FrameShape) -> Result<(), CodecError> {
        let &[precision, y1, y0, x1, x0, count, ref rest @ ..] = segment else {
            return Err(CodecError::damaged("its JPEG-LS frame header is too short"));
        };
        let (rows, columns) = (u16::from_be_bytes([y1, y0]), u16::from_be_bytes([x1, x0]));
        expect_shape(shape, (columns.into(), rows.into(), count.into()))?;
        if !(2..=16).contains(&precision) {
            return Err(CodecError::damaged(format!("JPEG-LS of {precision} bits")));
        }
        let (raw, _) = rest.as_chunks::<3>();
        if raw.iter().any(|[_, sampling, _]| *sampling != 0x11) {
            return Err(CodecError::unsupported("JPEG-LS with components of several sizes"));
        }
        self.precision = precision.into();
        self.components = raw.iter().map(|[id, ..]| *id).collect();
        Ok(())
    }

    fn extension(&mut self, segment: &[u8]) -> Result<(), CodecError> {
        let Some((&kind, rest)) = segment.split_first() else {
            return Err(CodecError::Truncated);
        };
        if kind != 1 {
            return Err(CodecError::unsupported("JPEG-LS with mapping tables or large sizes"));
        }
        let raw = rest.first_chunk::<10>().ok_or(CodecError::Truncated)?;
        let (pairs, _) = raw.as_chunks::<2>();
        let mut preset = [0; 5];
        preset.iter_mut().zip(pairs).for_each(|(value, raw)| *value = u16::from_be_bytes(*raw));
        self.preset = Some(preset);
        Ok(())
    }

    fn scan(&self, segment: &[u8]) -> Result<Scan, CodecError> {
        let wrong = || CodecError::damaged("a JPEG-LS scan header does not fit its frame");
        let (&count, rest) = segment.split_first().ok_or_else(wrong)?;
        let (raw, _) = rest.as_chunks::<2>();
        let raw = raw.get(..count.into()).filter(|raw| !raw.is_empty()).ok_or_else(wrong)?;
        let mut components = Vec::with_capacity(raw.len());
        for [id, table] in raw {
            if *table != 0 {
                return Err(CodecError::unsupported("JPEG-LS with mapping tables"));
            }
            components.push(self.components.iter().position(|own| own == id).ok_or_else(wrong)?);
        }
        let &[near, interleave, shift, ..] = &rest[2 * raw.len()..] else {
            return Err(wrong());
        };
        let interleave = match (interleave, components.len()) {
            (_, 1) => Interleave::None,
            (1, _) => Interleave::Line,
            (2, _) => Interleave::Sample,
            _ => return Err(wrong()),
        };
        let parameters = Parameters::new(self.precision, near, self.preset)?;
        Ok(Scan { components, interleave, parameters, shift: shift & 15 })
    }
}

impl Scan {
    /// Fills the scan's components of `samples`; gives what follows its bits.
    fn decode<'a>(
        &self,
        samples: &mut [i32],
        shape: &FrameShape,
        bits: &'a [u8],
    ) -> Result<&'a [u8], CodecError> {
        let mut coder = Coder::new(bits, self.parameters);
        let mut lines: Vec<Lines> =
            self.components.iter().map(|_| Lines::new(shape.columns)).collect();
        for row in 0..shape.rows {
            lines.iter_mut().for_each(Lines::begin);
            if self.interleave == Interleave::Sample {
                coder.samples(&mut lines)?;
            } else {
                for line in &mut lines {
                    coder.line(line)?;
                }
            }
            for (line, component) in lines.iter().zip(&self.components) {
                let start = row * shape.columns * shape.components + component;
                let own = samples[start..].iter_mut().step_by(shape.components);
                own.zip(line.current()).for_each(|(sample, value)| *sample = value << self.shift);
            }
        }
        Ok(coder.rest())
    }
}
