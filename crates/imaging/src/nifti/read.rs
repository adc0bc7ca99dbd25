//! NIfTI to volumes.

use super::header::{Header, Order};
use super::orientation::{Method, grid};
use crate::error::Place;
use crate::read::{FileInfo, check_voxels};
use crate::volume::{Samples, Volume};
use crate::{ColorModel, Error, Format, Limits, Source};

/// Reads the bytes of a `.nii` file, no longer in gzip.
pub(crate) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let header = Header::parse(bytes)?;
    let dimensions = dimensions(&header)?;
    let kind = Kind::of(header.datatype)?;
    let color = if kind.is_color() { ColorModel::Rgb } else { ColorModel::Gray };
    let voxels = check_voxels(dimensions, color, bytes.len(), limits)?;
    if !(header.vox_offset >= 0.0 && header.vox_offset <= 1e15) {
        return Err(damaged(format!("its voxels cannot begin at byte {}", header.vox_offset)));
    }
    // `nifti1.h`: an offset inside the header means right behind it.
    let start = (header.vox_offset as usize).max(header.length);
    let truncated =
        Error::Truncated { format: Format::Nifti, bytes: bytes.len(), place: Place::Header };
    let data = bytes.get(start..).ok_or(truncated)?;
    let needed = voxels * kind.bytes();
    let data = data.get(..needed).ok_or_else(|| Error::Truncated {
        format: Format::Nifti,
        bytes: bytes.len(),
        place: Place::Voxels { complete: (data.len() / kind.bytes()) as u64, of: voxels as u64 },
    })?;

    let samples = kind.samples(data, &header);
    let mut info = FileInfo::new(Source { format: Format::Nifti, color, bits: kind.bits() });
    let grid = grid(&header, dimensions);
    match &grid {
        Some((_, Method::Assumed)) => info.warnings.push(
            "the NIfTI file states no orientation (sform and qform codes are 0): left and right are a guess".into(),
        ),
        None => info.warnings.push(
            "the NIfTI file's orientation is no valid matrix: its voxels have no place and no volume".into(),
        ),
        _ => {}
    }
    let code = if header.sform_code > 0 { header.sform_code } else { header.qform_code };
    info.nifti_code = i16::try_from(code).ok().filter(|code| *code > 0);
    let mut volume = Volume::from_parts(dimensions, samples, info)?;
    volume.grid = grid.map(|(grid, _)| grid);
    Ok(volume)
}

fn damaged(detail: String) -> Error {
    Error::Damaged { format: Format::Nifti, detail }
}

fn dimensions(header: &Header) -> Result<[usize; 3], Error> {
    let axes = header.dim[0];
    if !(1..=7).contains(&axes) {
        return Err(damaged(format!("it has 1 to 7 axes, this one says {axes}")));
    }
    let mut dimensions = [1; 3];
    for (axis, length) in (1..=axes as usize).map(|axis| (axis, header.dim[axis])) {
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0)
            .ok_or_else(|| damaged(format!("axis {axis} has {length} voxels")))?;
        match dimensions.get_mut(axis - 1) {
            Some(slot) => *slot = length,
            None if length == 1 => {}
            None => {
                return Err(Error::Unsupported {
                    format: Format::Nifti,
                    detail: format!("axis {axis} has {length} volumes; split it and give one"),
                });
            }
        }
    }
    Ok(dimensions)
}

/// The kinds of voxels (`nifti1.h`, `DT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    Rgb,
    Rgba,
}

impl Kind {
    fn of(datatype: i16) -> Result<Self, Error> {
        Ok(match datatype {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            128 => Self::Rgb,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            2304 => Self::Rgba,
            other => {
                let name = match other {
                    1 => "single bits",
                    32 | 1792 | 2048 => "complex numbers",
                    1536 => "128-bit numbers",
                    _ => "of an unknown type",
                };
                return Err(Error::Unsupported {
                    format: Format::Nifti,
                    detail: format!("its voxels are {name} (datatype {other})"),
                });
            }
        })
    }

    fn is_color(self) -> bool {
        matches!(self, Self::Rgb | Self::Rgba)
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::Rgb => 3,
            Self::U32 | Self::I32 | Self::F32 | Self::Rgba => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    fn bits(self) -> u8 {
        if self.is_color() { 8 } else { self.bytes() as u8 * 8 }
    }

    fn samples(self, data: &[u8], header: &Header) -> Samples {
        match self {
            Self::Rgb => Samples::Rgb(data.to_vec()),
            Self::Rgba => Samples::Rgb(
                data.chunks_exact(4).flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]).collect(),
            ),
            Self::U8 => gray(data, header, |[byte]: [u8; 1]| byte.into()),
            Self::I8 => gray(data, header, |[byte]: [u8; 1]| (byte as i8).into()),
            Self::U16 => gray(data, header, |raw| u16::from_le_bytes(raw).into()),
            Self::I16 => gray(data, header, |raw| i16::from_le_bytes(raw).into()),
            Self::U32 => gray(data, header, |raw| u32::from_le_bytes(raw).into()),
            Self::I32 => gray(data, header, |raw| i32::from_le_bytes(raw).into()),
            Self::U64 => gray(data, header, |raw| u64::from_le_bytes(raw) as f64),
            Self::I64 => gray(data, header, |raw| i64::from_le_bytes(raw) as f64),
            Self::F32 => gray(data, header, |raw| f32::from_le_bytes(raw).into()),
            Self::F64 => gray(data, header, f64::from_le_bytes),
        }
    }
}

/// Every value times slope plus intercept, in 64 bits; a slope of 0 means neither (`nifti1.h`, `scl_slope`).
fn gray<const N: usize>(data: &[u8], header: &Header, read: impl Fn([u8; N]) -> f64) -> Samples {
    let (slope, intercept) = (header.slope, header.intercept);
    let scaled = slope.is_finite()
        && slope != 0.0
        && intercept.is_finite()
        && (slope, intercept) != (1.0, 0.0);
    let (values, _) = data.as_chunks::<N>();
    let values = values.iter().map(|raw| {
        let mut raw = *raw;
        if header.order == Order::Big {
            raw.reverse();
        }
        let value = read(raw);
        (if scaled { value * slope + intercept } else { value }) as f32
    });
    Samples::Gray(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A NIfTI-2 of two bytes, its voxels right behind the header.
    #[test]
    fn an_offset_inside_the_header_means_right_behind_it() {
        let mut bytes = vec![0; 540];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &540_i32.to_le_bytes());
        put(4, b"n+2\0\r\n\x1a\n");
        put(12, &2_i16.to_le_bytes());
        for (axis, length) in [1_i64, 2].into_iter().enumerate() {
            put(16 + 8 * axis, &length.to_le_bytes());
        }
        bytes.extend([7, 9]);
        for offset in [0_i64, 348, 540] {
            bytes[168..176].copy_from_slice(&offset.to_le_bytes());
            let volume = volume(&bytes, &Limits::default()).unwrap();
            assert!(*volume.samples() == Samples::Gray(vec![7.0, 9.0]), "offset {offset}");
        }
    }
}
