//! NRRD to volumes.

use std::collections::BTreeMap;

use crate::error::Place;
use crate::read::{FileInfo, check_voxels, gunzip};
use crate::volume::{Samples, Volume};
use crate::{Affine, ColorModel, Error, Format, Grid, Limits, Source};

pub(crate) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let (fields, start) = header(bytes)?;
    let fields = Fields(fields);
    let kind = Kind::of(fields.need("type")?)?;
    let mut sizes = fields.list::<usize>("sizes")?;
    let color = fields.color_axis(&sizes);
    if color == Some(0) {
        sizes.remove(0);
    } else if color.is_some() {
        return Err(unsupported("colours that are not the fastest axis"));
    }
    let is_color = color.is_some();
    if is_color && kind != Kind::U8 {
        return Err(unsupported("colours of other than 8 bits"));
    }
    let dimensions = match sizes[..] {
        [x, y] => [x, y, 1],
        [x, y, z] => [x, y, z],
        _ => {
            return Err(unsupported(format!(
                "{} axes (2 and 3 are read); several volumes in one file",
                sizes.len()
            )));
        }
    };
    if dimensions.contains(&0) {
        return Err(damaged("an axis has no samples"));
    }
    let model = if is_color { ColorModel::Rgb } else { ColorModel::Gray };
    let voxels = check_voxels(dimensions, model, bytes.len(), limits)?;
    let needed = voxels * if is_color { 3 } else { kind.bytes() };
    if fields.get("data file").is_some() || fields.get("datafile").is_some() {
        return Err(unsupported("its samples lie in a second file (.nhdr)"));
    }
    let data = bytes.get(start..).unwrap_or_default();
    let unpacked;
    let data = match fields.need("encoding")? {
        "raw" => data,
        "gzip" | "gz" => {
            unpacked = gunzip(data, Format::Nrrd, limits)?;
            &unpacked[..]
        }
        other @ ("ascii" | "text" | "txt" | "hex" | "bzip2" | "bz2") => {
            return Err(unsupported(format!("samples encoded as {other} (raw and gzip are read)")));
        }
        _ => return Err(damaged("its encoding is unknown")),
    };
    let data = data.get(..needed).ok_or(Error::Truncated {
        format: Format::Nrrd,
        bytes: bytes.len(),
        place: Place::Voxels { complete: (data.len() * voxels / needed) as u64, of: voxels as u64 },
    })?;
    let big_endian = match fields.get("endian") {
        Some("big") => true,
        Some("little") => false,
        _ if kind.bytes() == 1 => false,
        _ => {
            return Err(damaged(
                "its samples have several bytes but it does not say in which order (endian)",
            ));
        }
    };
    let samples =
        if is_color { Samples::Rgb(data.to_vec()) } else { kind.samples(data, big_endian) };
    let bits = if is_color { 8 } else { kind.bytes() as u8 * 8 };
    let info = FileInfo::new(Source { format: Format::Nrrd, color: model, bits });
    let mut volume = Volume::from_parts(dimensions, samples, info)?;
    match fields.grid(sizes.len(), is_color)? {
        Some(grid) => volume.grid = Some(grid),
        None => volume.info.warnings.push(
            "the NRRD file does not state the patient's axes: its voxels have no place".into(),
        ),
    }
    Ok(volume)
}

fn damaged(detail: impl Into<String>) -> Error {
    Error::Damaged { format: Format::Nrrd, detail: detail.into() }
}

fn unsupported(detail: impl Into<String>) -> Error {
    Error::Unsupported { format: Format::Nrrd, detail: detail.into() }
}

/// The fields by name in lower case, and where the samples begin.
fn header(bytes: &[u8]) -> Result<(BTreeMap<String, String>, usize), Error> {
    /// Longer than any header.
    const MOST: usize = 1 << 20;
    let mut fields = BTreeMap::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..bytes.len().min(MOST)];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Error::Truncated {
            format: Format::Nrrd,
            bytes: bytes.len(),
            place: Place::Header,
        })?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        at += end + 1;
        if line.is_empty() {
            return Ok((fields, at));
        }
        let line = String::from_utf8_lossy(line);
        if !line.starts_with('#')
            && !line.contains(":=")
            && let Some((name, value)) = line.split_once(':')
        {
            fields.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

struct Fields(BTreeMap<String, String>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn need(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| damaged(format!("it has no field {name:?}")))
    }

    fn list<T: std::str::FromStr>(&self, name: &str) -> Result<Vec<T>, Error> {
        let numbers = self.need(name)?.split_whitespace().map(str::parse);
        numbers
            .collect::<Result<_, _>>()
            .map_err(|_| damaged(format!("its field {name:?} holds something else than numbers")))
    }

    /// The axis of colours, if there is one.
    fn color_axis(&self, sizes: &[usize]) -> Option<usize> {
        let kinds: Vec<&str> = self.get("kinds").unwrap_or_default().split_whitespace().collect();
        let named = kinds.iter().position(|kind| kind.ends_with("-color") || *kind == "vector");
        named.filter(|axis| sizes.get(*axis) == Some(&3))
    }

    /// `(a,b,c)` or `none` for each axis.
    fn vectors(&self, name: &str) -> Result<Option<Vec<Option<[f64; 3]>>>, Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong =
            || damaged(format!("its field {name:?} does not hold vectors of three numbers"));
        let mut vectors = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("none") {
                vectors.push(None);
                rest = after.trim_start();
                continue;
            }
            let (inside, after) =
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(wrong)?;
            let numbers = inside.split(',').map(|number| number.trim().parse::<f64>());
            let numbers: Vec<f64> = numbers.collect::<Result<_, _>>().map_err(|_| wrong())?;
            vectors.push(Some(numbers.try_into().map_err(|_| wrong())?));
            rest = after.trim_start();
        }
        Ok(Some(vectors))
    }

    fn grid(&self, axes: usize, is_color: bool) -> Result<Option<Grid>, Error> {
        // Which way the space's axes run, in this crate's left, back, head.
        let signs = match self.get("space").map(str::to_ascii_lowercase).as_deref() {
            Some("left-posterior-superior" | "lps") => [1.0, 1.0, 1.0],
            Some("right-anterior-superior" | "ras") => [-1.0, -1.0, 1.0],
            Some("left-anterior-superior" | "las") => [1.0, -1.0, 1.0],
            _ => return Ok(None),
        };
        let Some(mut directions) = self.vectors("space directions")? else { return Ok(None) };
        if is_color && directions.len() == axes + 1 {
            directions.remove(0);
        }
        let origin =
            self.vectors("space origin")?.and_then(|origin| origin.first().copied().flatten());
        let (Some(x), Some(y)) =
            (directions.first().copied().flatten(), directions.get(1).copied().flatten())
        else {
            return Ok(None);
        };
        let z = directions.get(2).copied().flatten();
        let z = z.or_else(|| crate::geometry::vector::unit(crate::geometry::vector::cross(x, y)));
        let Some(z) = z else { return Ok(None) };
        let origin = origin.unwrap_or([0.0; 3]);
        let affine: Affine = std::array::from_fn(|axis| {
            [x[axis], y[axis], z[axis], origin[axis]].map(|value| value * signs[axis])
        });
        Ok(Grid::from_affine(&affine))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Kind {
    fn of(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "signed char" | "int8" | "int8_t" => Self::I8,
            "uchar" | "unsigned char" | "uint8" | "uint8_t" => Self::U8,
            "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
                Self::I16
            }
            "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Self::U16,
            "int" | "signed int" | "int32" | "int32_t" => Self::I32,
            "uint" | "unsigned int" | "uint32" | "uint32_t" => Self::U32,
            "longlong"
            | "long long"
            | "long long int"
            | "signed long long"
            | "signed long long int"
            | "int64"
            | "int64_t" => Self::I64,
            "ulonglong"
            | "unsigned long long"
            | "unsigned long long int"
            | "uint64"
            | "uint64_t" => Self::U64,
            "float" => Self::F32,
            "double" => Self::F64,
            _ => return Err(unsupported("samples of a type that is no number")),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    fn samples(self, data: &[u8], big_endian: bool) -> Samples {
        match self {
            Self::I8 => gray(data, big_endian, |raw: [u8; 1]| f32::from(raw[0] as i8)),
            Self::U8 => gray(data, big_endian, |raw: [u8; 1]| f32::from(raw[0])),
            Self::I16 => gray(data, big_endian, |raw| f32::from(i16::from_le_bytes(raw))),
            Self::U16 => gray(data, big_endian, |raw| f32::from(u16::from_le_bytes(raw))),
            Self::I32 => gray(data, big_endian, |raw| i32::from_le_bytes(raw) as f32),
            Self::U32 => gray(data, big_endian, |raw| u32::from_le_bytes(raw) as f32),
            Self::I64 => gray(data, big_endian, |raw| i64::from_le_bytes(raw) as f32),
            Self::U64 => gray(data, big_endian, |raw| u64::from_le_bytes(raw) as f32),
            Self::F32 => gray(data, big_endian, f32::from_le_bytes),
            Self::F64 => gray(data, big_endian, |raw| f64::from_le_bytes(raw) as f32),
        }
    }
}

fn gray<const N: usize>(data: &[u8], big_endian: bool, read: impl Fn([u8; N]) -> f32) -> Samples {
    let (raw, _) = data.as_chunks::<N>();
    let number = |raw: &[u8; N]| {
        let mut raw = *raw;
        if big_endian {
            raw.reverse();
        }
        read(raw)
    };
    Samples::Gray(raw.iter().map(number).collect())
}
