//! Label maps as NRRD, with the fields by which 3D Slicer knows a segmentation (`.seg.nrrd`).

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::write::LabelMap;
use crate::{Grid, Rgb};

/// One label's name and colour.
pub(crate) struct Segment<'a> {
    pub name: &'a str,
    pub color: Rgb,
}

pub(crate) fn labels(
    map: &LabelMap,
    grid: &Grid,
    segments: &[Segment],
) -> std::io::Result<Vec<u8>> {
    let wide = map.names.len() > 255;
    let [x, y, z] = map.dimensions;
    let affine = grid.affine();
    let vector =
        |axis: usize| format!("({},{},{})", affine[0][axis], affine[1][axis], affine[2][axis]);
    let mut header = String::from(
        "NRRD0004\n# Complete NRRD file format specification at:\n# http://teem.sourceforge.net/nrrd/format.html\n",
    );
    let mut line = |text: std::fmt::Arguments| {
        let written = header.write_fmt(text).and_then(|()| header.write_char('\n'));
        written.map_err(std::io::Error::other)
    };
    line(format_args!("type: {}", if wide { "unsigned short" } else { "unsigned char" }))?;
    line(format_args!("dimension: 3\nspace: left-posterior-superior\nsizes: {x} {y} {z}"))?;
    line(format_args!("space directions: {} {} {}", vector(0), vector(1), vector(2)))?;
    line(format_args!("kinds: domain domain domain\nendian: little\nencoding: gzip"))?;
    line(format_args!("space origin: {}", vector(3)))?;
    for (index, segment) in segments.iter().enumerate() {
        let [red, green, blue] = segment.color.map(|value| f64::from(value) / 255.0);
        let name: String = segment.name.chars().filter(|c| !c.is_control()).collect();
        line(format_args!("Segment{index}_ID:=Segment_{}", index + 1))?;
        line(format_args!("Segment{index}_Name:={name}"))?;
        line(format_args!("Segment{index}_Color:={red:.6} {green:.6} {blue:.6}"))?;
        line(format_args!("Segment{index}_LabelValue:={}\nSegment{index}_Layer:=0", index + 1))?;
    }
    line(format_args!(""))?;
    let mut bytes = header.into_bytes();
    let mut encoder = GzEncoder::new(&mut bytes, Compression::default());
    encoder.write_all(&map.little_endian(wide))?;
    encoder.finish()?;
    Ok(bytes)
}
