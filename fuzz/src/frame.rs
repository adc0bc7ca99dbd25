//! DICOM files around frames that a fuzzer made.

/// The transfer syntaxes whose frames are tried.
const SYNTAXES: [&str; 9] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
];

/// A whole DICOM file around one frame: the first bytes choose syntax, size, bits and colours, the others are the frame.
pub fn dicom(bytes: &[u8]) -> Option<Vec<u8>> {
    let ([syntax, columns, rows, form], frame) = bytes.split_first_chunk()?;
    let syntax = SYNTAXES[usize::from(*syntax) % SYNTAXES.len()];
    let color = form & 1 == 1;
    let bits: u16 = if form & 2 == 2 { 16 } else { 8 };
    let stored = if form & 4 == 4 { bits - bits / 4 } else { bits };
    let mut file = [&[0; 128], b"DICM".as_slice()].concat();
    let meta = element(0x0002, 0x0010, b"UI", &padded(syntax.as_bytes(), 0));
    file.extend(element(0x0002, 0x0000, b"UL", &(meta.len() as u32).to_le_bytes()));
    file.extend(meta);
    let short = |tag: u16, value: u16| element(0x0028, tag, b"US", &value.to_le_bytes());
    file.extend(element(0x0008, 0x0060, b"CS", b"CT"));
    file.extend(short(0x0002, if color { 3 } else { 1 }));
    let photometric: &[u8] = match (color, form & 8 == 8) {
        (true, false) => b"RGB ",
        (true, true) => b"YBR_FULL",
        (false, false) => b"MONOCHROME2 ",
        (false, true) => b"MONOCHROME1 ",
    };
    file.extend(element(0x0028, 0x0004, b"CS", photometric));
    if color {
        file.extend(short(0x0006, u16::from(form & 16 == 16)));
    }
    file.extend(short(0x0010, u16::from(*rows) + 1));
    file.extend(short(0x0011, u16::from(*columns) + 1));
    file.extend(short(0x0100, bits));
    file.extend(short(0x0101, stored));
    file.extend(short(0x0102, stored - 1));
    file.extend(short(0x0103, u16::from(form & 32 == 32)));
    let head = |group: u16, tag: u16| [group.to_le_bytes(), tag.to_le_bytes()].concat();
    file.extend(head(0x7fe0, 0x0010));
    if syntax == SYNTAXES[0] {
        file.extend(b"OW\0\0");
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
        return Some(file);
    }
    file.extend(b"OB\0\0\xff\xff\xff\xff");
    file.extend(head(0xfffe, 0xe000));
    file.extend(0_u32.to_le_bytes());
    let frame = padded(frame, 0);
    file.extend(head(0xfffe, 0xe000));
    file.extend((frame.len() as u32).to_le_bytes());
    file.extend(frame);
    file.extend(head(0xfffe, 0xe0dd));
    file.extend(0_u32.to_le_bytes());
    Some(file)
}

fn element(group: u16, tag: u16, kind: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u16).to_le_bytes();
    [&group.to_le_bytes(), &tag.to_le_bytes(), kind.as_slice(), &length, value].concat()
}

fn padded(value: &[u8], with: u8) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(with);
    }
    value
}
