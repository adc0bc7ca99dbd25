//! What sequential and lossless JPEG share: markers, Huffman tables and bits (ITU-T T.81, annexes B, C and F).

use super::CodecError;

/// How a frame is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// Baseline and extended: one pass of 8×8 blocks.
    Sequential,
    Progressive,
    Lossless,
}

/// A frame header.
#[derive(Clone, Debug)]
pub struct Frame {
    pub process: Process,
    pub precision: u8,
    pub rows: usize,
    pub columns: usize,
    pub components: Vec<Component>,
}

#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub id: u8,
    pub horizontal: u8,
    pub vertical: u8,
    pub quantization: u8,
}

/// One component's share of a scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanComponent {
    /// Its place in the frame.
    pub index: usize,
    pub dc_table: u8,
    pub ac_table: u8,
}

/// A scan header.
#[derive(Clone, Debug)]
pub struct Scan {
    pub components: Vec<ScanComponent>,
    /// The predictor of a lossless scan, else the first coefficient.
    pub start: u8,
    /// The point transform.
    pub shift: u8,
}

/// Everything before the bits of a scan.
#[derive(Debug, Default)]
pub struct Tables {
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    pub quantization: [Option<[u16; 64]>; 4],
    pub restart_interval: usize,
}

/// A step through the file.
pub enum Step<'a> {
    Frame(Frame),
    /// A scan and the bytes that follow its header.
    Scan(Scan, &'a [u8]),
    End,
}

/// Walks the markers.
pub struct Markers<'a> {
    bytes: &'a [u8],
    position: usize,
    frame: Option<Frame>,
    pub tables: Tables,
}

impl Tables {
    /// The table of differences that a scan names.
    pub fn dc_table(&self, at: u8) -> Result<&Huffman, CodecError> {
        named(&self.dc, at)
    }

    /// The table of further coefficients that a scan names.
    pub fn ac_table(&self, at: u8) -> Result<&Huffman, CodecError> {
        named(&self.ac, at)
    }
}

fn named(tables: &[Option<Huffman>; 4], at: u8) -> Result<&Huffman, CodecError> {
    tables
        .get(usize::from(at))
        .and_then(Option::as_ref)
        .ok_or_else(|| CodecError::damaged("a JPEG scan names a Huffman table that is not there"))
}

impl Frame {
    /// The first frame header of a JPEG.
    pub fn find(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut markers = Markers::new(bytes)?;
        match markers.step()? {
            Step::Frame(frame) => Ok(frame),
            Step::Scan(..) | Step::End => Err(CodecError::damaged("its JPEG has no frame header")),
        }
    }

    fn parse(process: Process, header: &[u8]) -> Result<Self, CodecError> {
        let &[precision, y1, y0, x1, x0, count, ref rest @ ..] = header else {
            return Err(CodecError::damaged("its JPEG frame header is too short"));
        };
        let (raw, _) = rest.as_chunks::<3>();
        let raw = raw.get(..count.into()).ok_or_else(|| {
            CodecError::damaged("its JPEG frame header names fewer components than it says")
        })?;
        let components = raw
            .iter()
            .map(|&[id, sampling, quantization]| Component {
                id,
                horizontal: sampling >> 4,
                vertical: sampling & 15,
                quantization,
            })
            .collect();
        let (rows, columns) =
            (u16::from_be_bytes([y1, y0]).into(), u16::from_be_bytes([x1, x0]).into());
        if rows == 0 || columns == 0 || count == 0 {
            return Err(CodecError::damaged("its JPEG frame header says no pixels"));
        }
        Ok(Self { process, precision, rows, columns, components })
    }
}

impl<'a> Markers<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        if !bytes.starts_with(b"\xff\xd8") {
            return Err(CodecError::damaged("its compressed pixels are no JPEG"));
        }
        Ok(Self { bytes, position: 2, frame: None, tables: Tables::default() })
    }

    /// Goes on behind a scan's bits.
    pub fn skip_to(&mut self, rest: &'a [u8]) {
        self.position = self.bytes.len() - rest.len();
    }

    pub fn step(&mut self) -> Result<Step<'a>, CodecError> {
        loop {
            let code = self.marker()?;
            match code {
                0xd9 => return Ok(Step::End),
                0x01 | 0xd0..=0xd8 => {}
                0xc4 => {
                    let segment = self.segment()?;
                    self.huffman(segment)?;
                }
                0xdb => {
                    let segment = self.segment()?;
                    self.quantization(segment)?;
                }
                0xdd => {
                    let segment = self.segment()?;
                    let raw = segment.first_chunk::<2>().ok_or(CodecError::Truncated)?;
                    self.tables.restart_interval = u16::from_be_bytes(*raw).into();
                }
                0xda => {
                    let segment = self.segment()?;
                    let scan = self.scan(segment)?;
                    return Ok(Step::Scan(scan, &self.bytes[self.position..]));
                }
                0xc0..=0xcf if !matches!(code, 0xc8 | 0xcc) => {
                    let process = match code {
                        0xc0 | 0xc1 => Process::Sequential,
                        0xc2 => Process::Progressive,
                        0xc3 => Process::Lossless,
                        0xc9..=0xcb => {
                            return Err(CodecError::unsupported("arithmetic-coded JPEG"));
                        }
                        _ => return Err(CodecError::unsupported("hierarchical JPEG")),
                    };
                    let segment = self.segment()?;
                    let frame = Frame::parse(process, segment)?;
                    self.frame = Some(frame.clone());
                    return Ok(Step::Frame(frame));
                }
                _ => {
                    self.segment()?;
                }
            }
        }
    }

    fn marker(&mut self) -> Result<u8, CodecError> {
        loop {
            let rest = self.bytes.get(self.position..).ok_or(CodecError::Truncated)?;
            match rest {
                [0xff, code, ..] if !matches!(code, 0 | 0xff) => {
                    self.position += 2;
                    return Ok(*code);
                }
                [_, ..] => self.position += 1,
                [] => return Err(CodecError::Truncated),
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], CodecError> {
        let rest = &self.bytes[self.position..];
        let length = rest.first_chunk::<2>().ok_or(CodecError::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 2 {
            return Err(CodecError::damaged("a JPEG segment is shorter than its own length"));
        }
        let segment = rest.get(2..length).ok_or(CodecError::Truncated)?;
        self.position += length;
        Ok(segment)
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), CodecError> {
        let short = || CodecError::damaged("a JPEG Huffman table is too short");
        while let Some((&class, rest)) = segment.split_first() {
            let counts = rest.first_chunk::<16>().ok_or_else(short)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
            let symbols = rest.get(16..16 + total).ok_or_else(short)?;
            let tables = if class >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            let slot = tables.get_mut(usize::from(class & 15)).ok_or_else(short)?;
            *slot = Some(Huffman::new(counts, symbols)?);
            segment = &rest[16 + total..];
        }
        Ok(())
    }

    fn quantization(&mut self, mut segment: &[u8]) -> Result<(), CodecError> {
        let short = || CodecError::damaged("a JPEG quantization table is too short");
        while let Some((&kind, rest)) = segment.split_first() {
            let slot =
                self.tables.quantization.get_mut(usize::from(kind & 15)).ok_or_else(short)?;
            let size = if kind >> 4 == 0 { 64 } else { 128 };
            let raw = rest.get(..size).ok_or_else(short)?;
            let mut table = [0; 64];
            for (at, entry) in table.iter_mut().enumerate() {
                *entry = if size == 64 {
                    raw[at].into()
                } else {
                    u16::from_be_bytes([raw[2 * at], raw[2 * at + 1]])
                };
            }
            *slot = Some(table);
            segment = &rest[size..];
        }
        Ok(())
    }

    fn scan(&self, segment: &[u8]) -> Result<Scan, CodecError> {
        let wrong = || CodecError::damaged("a JPEG scan header does not fit its frame");
        let frame = self.frame.as_ref().ok_or_else(wrong)?;
        let (&count, rest) = segment.split_first().ok_or_else(wrong)?;
        let (raw, _) = rest.as_chunks::<2>();
        let raw = raw.get(..count.into()).filter(|raw| !raw.is_empty()).ok_or_else(wrong)?;
        let mut components = Vec::with_capacity(raw.len());
        for [id, tables] in raw {
            let index = frame.components.iter().position(|own| own.id == *id).ok_or_else(wrong)?;
            components.push(ScanComponent { index, dc_table: tables >> 4, ac_table: tables & 15 });
        }
        let &[start, _, shift, ..] = &rest[2 * raw.len()..] else {
            return Err(wrong());
        };
        Ok(Scan { components, start, shift: shift & 15 })
    }
}

/// A code's length and symbol for each of the 65,536 ways the next 16 bits can be.
pub struct Huffman {
    /// Length × 256 + symbol; 0 where no code fits.
    entries: Vec<u16>,
}

impl std::fmt::Debug for Huffman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Huffman")
    }
}

impl Huffman {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, CodecError> {
        let mut entries = vec![0; 1 << 16];
        let mut symbols = symbols.iter();
        let mut start = 0_usize;
        for (length, count) in (1_u16..).zip(counts) {
            let share = 1_usize << (16 - length);
            for symbol in symbols.by_ref().take(usize::from(*count)) {
                let range = entries.get_mut(start..start + share).ok_or_else(|| {
                    CodecError::damaged("a JPEG Huffman table has more codes than fit")
                })?;
                range.fill(length << 8 | u16::from(*symbol));
                start += share;
            }
        }
        Ok(Self { entries })
    }
}

/// The bits of a scan, first bit highest; zeros behind a marker.
pub struct Bits<'a> {
    rest: &'a [u8],
    held: u64,
    count: u32,
    /// Bits that were not in the file.
    invented: u32,
}

impl<'a> Bits<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest, held: 0, count: 0, invented: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.rest {
                [0xff, 0, rest @ ..] => {
                    self.rest = rest;
                    0xff
                }
                [0xff, ..] | [] => {
                    self.invented += 8;
                    0
                }
                [byte, rest @ ..] => {
                    self.rest = rest;
                    *byte
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next `count` bits, at most 16.
    pub fn take(&mut self, count: u32) -> Result<i32, CodecError> {
        self.fill();
        self.count -= count;
        if self.count < self.invented {
            return Err(CodecError::Truncated);
        }
        Ok((self.held >> self.count & ((1 << count) - 1)) as i32)
    }

    pub fn symbol(&mut self, table: &Huffman) -> Result<u8, CodecError> {
        self.fill();
        let entry = table.entries[(self.held >> (self.count - 16) & 0xffff) as usize];
        let length = u32::from(entry >> 8);
        if length == 0 {
            let ended = self.count < self.invented + 16;
            return Err(if ended {
                CodecError::Truncated
            } else {
                CodecError::damaged("no JPEG code fits its bits")
            });
        }
        self.take(length)?;
        Ok(entry as u8)
    }

    /// A number of `category` bits (T.81 section F.2.2.1, EXTEND).
    pub fn number(&mut self, category: u8) -> Result<i32, CodecError> {
        let count = u32::from(category);
        if count == 0 {
            return Ok(0);
        }
        let value = self.take(count)?;
        Ok(if value < 1 << (count - 1) { value - (1 << count) + 1 } else { value })
    }

    /// Steps over a restart marker; the bits before it are done.
    pub fn restart(&mut self) -> Result<(), CodecError> {
        let mut rest = self.rest;
        while let [byte, after @ ..] = rest {
            if let (0xff, [0xd0..=0xd7, after @ ..]) = (*byte, after) {
                *self = Self::new(after);
                return Ok(());
            }
            rest = after;
        }
        Err(CodecError::Truncated)
    }

    /// What follows the scan.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
