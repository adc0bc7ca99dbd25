//! Scans made for the tests, byte by byte.

use std::path::Path;

/// What of a patient stands in every DICOM file made here.
pub const SECRETS: [&str; 9] = [
    "Quagmire",
    "PID-77413",
    "19510203",
    "20010911",
    "ACC-5550123",
    "Saint Elsewhere",
    "Dr^Zoidberg",
    "2.25.90017",
    "Painful knee",
];

/// The voxel of a made scan: bodies that move from slice to slice.
fn value(x: usize, y: usize, z: usize) -> u8 {
    let body = |cx: usize, cy: usize, r: usize| {
        let (dx, dy) = (x.abs_diff(cx), y.abs_diff(cy));
        dx * dx + dy * dy < r * r
    };
    let base = 40 + ((x * 7 + y * 13 + z * 5) % 23) as u8;
    if body(10 + z % 9, 12, 6) {
        200 - base / 4
    } else if body(24, 20, 4 + z % 5) {
        140
    } else {
        base
    }
}

/// A NIfTI file of bytes: anisotropic, from the left and the front up.
pub fn nifti(path: &Path, [columns, rows, slices]: [usize; 3]) {
    let mut head = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    for (at, value) in [3, columns, rows, slices, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * at, &(value as i16).to_le_bytes());
    }
    put(70, &2_i16.to_le_bytes());
    put(72, &8_i16.to_le_bytes());
    for (at, value) in [1.0_f32, 1.0, 1.5, 2.0].into_iter().enumerate() {
        put(76 + 4 * at, &value.to_le_bytes());
    }
    put(108, &352.0_f32.to_le_bytes());
    put(123, &[2]);
    put(254, &1_i16.to_le_bytes());
    let rows_of: [[f32; 4]; 3] =
        [[1.0, 0.0, 0.0, -10.0], [0.0, 1.5, 0.0, 20.0], [0.0, 0.0, 2.0, 5.0]];
    for (at, value) in rows_of.into_iter().flatten().enumerate() {
        put(280 + 4 * at, &value.to_le_bytes());
    }
    put(344, b"n+1\0");
    for z in 0..slices {
        for y in 0..rows {
            head.extend((0..columns).map(|x| value(x, y, z)));
        }
    }
    std::fs::write(path, head).unwrap();
}

/// A DICOM series of a patient, in a folder.
pub fn series(folder: &Path, slices: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for slice in 0..slices {
        std::fs::write(folder.join(format!("{:03}.dcm", slices - slice)), dicom(slice)).unwrap();
    }
}

/// A tree as archives export it, of files without endings and names that are UIDs: a series of three slices in
/// `PA0/SE0`, two radiographs in `PA0/views`, and a text.
pub fn disc(folder: &Path) {
    std::fs::create_dir_all(folder.join("PA0/SE0")).unwrap();
    for slice in 0..3 {
        std::fs::write(folder.join(format!("PA0/SE0/IM{}", 3 - slice)), dicom(slice)).unwrap();
    }
    std::fs::create_dir_all(folder.join("PA0/views")).unwrap();
    for (series, name) in [(b'7', "CR.1.2.16583"), (b'8', "CR.1.2.16579")] {
        std::fs::write(folder.join("PA0/views").join(name), of_series(series)).unwrap();
    }
    std::fs::write(folder.join("readme.txt"), "no picture").unwrap();
}

/// The first slice as a picture of another series, whose UID ends in that digit.
pub fn of_series(digit: u8) -> Vec<u8> {
    let mut file = dicom(0);
    let at = file.windows(12).rposition(|window| window == b"2.25.90017.3").unwrap();
    file[at + 11] = digit;
    file
}

/// One slice of it.
pub fn dicom(slice: usize) -> Vec<u8> {
    let (columns, rows) = (32_usize, 28_usize);
    let text = |kind: &[u8; 2], group: u16, tag: u16, value: &str| {
        let fill = if kind == b"UI" { 0 } else { b' ' };
        element(group, tag, kind, &padded(value.as_bytes(), fill))
    };
    let short = |tag: u16, value: u16| element(0x0028, tag, b"US", &value.to_le_bytes());
    let meta = [
        text(b"UI", 0x0002, 0x0002, "1.2.840.10008.5.1.4.1.1.2"),
        text(b"UI", 0x0002, 0x0003, &format!("2.25.90017.1.{slice}")),
        text(b"UI", 0x0002, 0x0010, "1.2.840.10008.1.2.1"),
    ]
    .concat();
    let mut file = [&[0; 128], b"DICM".as_slice()].concat();
    file.extend(element(0x0002, 0x0000, b"UL", &(meta.len() as u32).to_le_bytes()));
    file.extend(meta);
    file.extend(text(b"UI", 0x0008, 0x0016, "1.2.840.10008.5.1.4.1.1.2"));
    file.extend(text(b"UI", 0x0008, 0x0018, &format!("2.25.90017.1.{slice}")));
    file.extend(text(b"DA", 0x0008, 0x0020, "20010911"));
    file.extend(text(b"SH", 0x0008, 0x0050, "ACC-5550123"));
    file.extend(text(b"CS", 0x0008, 0x0060, "CT"));
    file.extend(text(b"LO", 0x0008, 0x0080, "Saint Elsewhere"));
    file.extend(text(b"PN", 0x0008, 0x0090, "Dr^Zoidberg"));
    file.extend(text(b"LO", 0x0008, 0x1030, "Painful knee"));
    file.extend(text(b"PN", 0x0010, 0x0010, "Quagmire^Glenn"));
    file.extend(text(b"LO", 0x0010, 0x0020, "PID-77413"));
    file.extend(text(b"DA", 0x0010, 0x0030, "19510203"));
    file.extend(text(b"UI", 0x0020, 0x000d, "2.25.90017.2"));
    file.extend(text(b"UI", 0x0020, 0x000e, "2.25.90017.3"));
    file.extend(text(b"DS", 0x0020, 0x0032, &format!("-15\\-12.5\\{}", 3 * slice)));
    file.extend(text(b"DS", 0x0020, 0x0037, "1\\0\\0\\0\\1\\0"));
    file.extend(text(b"UI", 0x0020, 0x0052, "2.25.90017.4"));
    file.extend(short(0x0002, 1));
    file.extend(text(b"CS", 0x0028, 0x0004, "MONOCHROME2"));
    file.extend(short(0x0010, rows as u16));
    file.extend(short(0x0011, columns as u16));
    file.extend(text(b"DS", 0x0028, 0x0030, "0.9\\0.8"));
    for (tag, value) in [(0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
        file.extend(short(tag, value));
    }
    file.extend(text(b"DS", 0x0028, 0x1052, "-100"));
    file.extend(text(b"DS", 0x0028, 0x1053, "1"));
    file.extend([0xe0, 0x7f, 0x10, 0, b'O', b'W', 0, 0]);
    file.extend((2 * columns as u32 * rows as u32).to_le_bytes());
    for y in 0..rows {
        file.extend((0..columns).flat_map(|x| u16::from(value(x, y, slice)).to_le_bytes()));
    }
    file
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
