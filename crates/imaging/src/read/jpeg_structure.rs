//! The skeleton of a JPEG: its markers from SOI to EOI (ITU-T T.81, annex B).
//!
//! Walking it before decoding tells the size while nothing is allocated yet, and whether the file is whole: decoders
//! fill what is missing with gray.

use crate::error::Place;
use crate::{Error, Format};

/// Scans beyond which a progressive JPEG is an attack on the decoder's time; encoders write about ten.
const MAX_SCANS: usize = 100;

/// What an Adobe segment holds, in bytes: its name, a version, two flags and the transform.
const ADOBE_LENGTH: usize = 12;

/// What a JPEG's frame header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    pub components: u8,
    /// Whether all coefficients are held until the last scan: progressive, or one component a scan.
    pub buffered: bool,
    /// The Adobe segment's transform: 0 none, 1 YCbCr, 2 YCCK.
    pub adobe_transform: Option<u8>,
    /// Whether the components call themselves R, G and B.
    pub named_rgb: bool,
    /// Where an Adobe segment too short to mean anything begins and ends: libjpeg passes over it, decoders that do not
    /// must not see it.
    pub short_adobe: Option<[usize; 2]>,
}

mod marker {
    pub const START_OF_IMAGE: u8 = 0xd8;
    pub const END_OF_IMAGE: u8 = 0xd9;
    pub const START_OF_SCAN: u8 = 0xda;
    /// Huffman tables, extensions and arithmetic conditioning, whose codes lie among those of the frame headers.
    pub const NO_FRAME: [u8; 3] = [0xc4, 0xc8, 0xcc];
    pub const ADOBE: u8 = 0xee;
    pub const TEMPORARY: u8 = 0x01;
    pub const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
}

/// Reads the frame header and makes sure that the file reaches its end.
pub(super) fn walk(bytes: &[u8]) -> Result<Frame, Error> {
    let mut walker = Walker { bytes, position: 2, scans: 0 };
    let mut frame: Option<Frame> = None;
    let (mut adobe_transform, mut short_adobe) = (None, None);
    loop {
        match walker.marker()? {
            marker::END_OF_IMAGE => break,
            marker::START_OF_IMAGE | marker::TEMPORARY => {}
            code if marker::RESTART.contains(&code) => {}
            marker::START_OF_SCAN => {
                let header = walker.segment()?;
                let Some(frame) = &mut frame else {
                    return Err(damaged("a scan comes before the frame header"));
                };
                walker.scans += 1;
                if walker.scans > MAX_SCANS {
                    return Err(Error::OverLimit {
                        claim: format!("the JPEG has more than {MAX_SCANS} scans"),
                        limit: format!("{MAX_SCANS} scans"),
                    });
                }
                frame.buffered |= header.first().is_none_or(|count| *count < frame.components);
                walker.skip_entropy_coded();
            }
            marker::ADOBE => {
                let start = walker.position - 2;
                let segment = walker.segment()?;
                if segment.len() < ADOBE_LENGTH {
                    short_adobe = Some([start, walker.position]);
                } else if segment.starts_with(b"Adobe") {
                    adobe_transform = segment.get(11).copied();
                }
            }
            code @ 0xc0..=0xcf if !marker::NO_FRAME.contains(&code) => {
                let header = walker.segment()?;
                if frame.is_some() {
                    return Err(damaged("it has two frame headers"));
                }
                frame = Some(frame_header(code, header)?);
            }
            _ => {
                walker.segment()?;
            }
        }
    }
    let Some(frame) = frame else {
        return Err(damaged("it has no frame header"));
    };
    if walker.scans == 0 {
        return Err(damaged("it has no scan"));
    }
    Ok(Frame { adobe_transform, short_adobe, ..frame })
}

/// T.81 section B.2.2.
fn frame_header(code: u8, header: &[u8]) -> Result<Frame, Error> {
    let &[precision, height_high, height_low, width_high, width_low, components, ref rest @ ..] =
        header
    else {
        return Err(damaged("its frame header is too short"));
    };
    let unsupported =
        |detail: &str| Err(Error::Unsupported { format: Format::Jpeg, detail: detail.into() });
    match code {
        0xc0..=0xc2 => {}
        0xc3 => return unsupported("lossless"),
        0xc9..=0xcb => return unsupported("arithmetic-coded"),
        _ => return unsupported("hierarchical"),
    }
    if precision != 8 {
        return unsupported(&format!("{precision} bits a sample (8 are)"));
    }
    if !matches!(components, 1 | 3 | 4) {
        return unsupported(&format!("{components} components (1, 3 and 4 are)"));
    }
    let height = u16::from_be_bytes([height_high, height_low]);
    if height == 0 {
        return unsupported("its height is given after its pixels (DNL)");
    }
    let names = rest.chunks_exact(3).map(|component| component[0]);
    Ok(Frame {
        width: u16::from_be_bytes([width_high, width_low]).into(),
        height: height.into(),
        components,
        buffered: code == 0xc2,
        adobe_transform: None,
        short_adobe: None,
        named_rgb: components == 3 && names.eq(*b"RGB"),
    })
}

struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    scans: usize,
}

impl<'a> Walker<'a> {
    /// The next marker's code; the position moves behind it.
    fn marker(&mut self) -> Result<u8, Error> {
        let mut byte = self.byte()?;
        if byte != 0xff {
            let place = grouped_place(self.position - 1);
            return Err(damaged(&format!("a marker was expected {place}, found 0x{byte:02x}")));
        }
        while byte == 0xff {
            byte = self.byte()?;
        }
        Ok(byte)
    }

    /// What a segment holds behind its length.
    fn segment(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let Some(length) = length.checked_sub(2) else {
            return Err(damaged(&format!(
                "a segment has no length {}",
                grouped_place(self.position - 2)
            )));
        };
        let segment = self
            .bytes
            .get(self.position..self.position + length)
            .ok_or_else(|| self.truncated())?;
        self.position += length;
        Ok(segment)
    }

    /// Moves to the first marker that does not belong to a scan's own bytes, or to the end.
    fn skip_entropy_coded(&mut self) {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let ends = |pair: &[u8]| {
            pair[0] == 0xff
                && pair[1] != 0
                && pair[1] != 0xff
                && !marker::RESTART.contains(&pair[1])
        };
        self.position += rest.windows(2).position(ends).unwrap_or(rest.len());
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.position).ok_or_else(|| self.truncated())?;
        self.position += 1;
        Ok(byte)
    }

    fn truncated(&self) -> Error {
        let place = match self.scans {
            0 => Place::Header,
            number => Place::Scan { number },
        };
        Error::Truncated { format: Format::Jpeg, bytes: self.bytes.len(), place }
    }
}

fn grouped_place(offset: usize) -> String {
    format!("at byte {}", crate::grouped(offset as u64))
}

fn damaged(detail: &str) -> Error {
    Error::Damaged { format: Format::Jpeg, detail: detail.into() }
}
