//! Uncompressed samples (PS3.5 section 8.1.1).

use super::CodecError;
use crate::dicom::frames::{FrameShape, Photometric};

/// The samples of one frame, interleaved; single bits are taken from `shape.first_bit` on.
pub fn samples(bytes: &[u8], shape: &FrameShape) -> Result<Vec<i32>, CodecError> {
    let count = shape.samples();
    if shape.photometric == Photometric::YbrFull422 {
        return halved_chroma(bytes, shape);
    }
    let values: Vec<i32> = match shape.bits_allocated {
        1 => {
            let bit = |index: usize| {
                let index = index + shape.first_bit;
                bytes.get(index / 8).map(|byte| i32::from(byte >> (index % 8) & 1))
            };
            (0..count).map(bit).collect::<Option<_>>().ok_or(CodecError::Truncated)?
        }
        8 if shape.swapped_pairs => {
            let bytes = bytes.get(..count.next_multiple_of(2)).ok_or(CodecError::Truncated)?;
            let pairs = bytes.as_chunks::<2>().0.iter().flat_map(|[a, b]| [*b, *a]);
            pairs.take(count).map(i32::from).collect()
        }
        8 => numbers(bytes, shape, |[byte]: [u8; 1]| byte.into())?,
        16 => numbers(bytes, shape, |raw| u16::from_le_bytes(raw).into())?,
        32 => numbers(bytes, shape, i32::from_le_bytes)?,
        other => {
            return Err(CodecError::unsupported(format!(
                "{other} bits allocated (1, 8, 16, 32 are read)"
            )));
        }
    };
    Ok(if shape.planar { interleave(&values, shape.components) } else { values })
}

/// The samples of one frame of floating-point pixels.
pub fn floats(bytes: &[u8], shape: &FrameShape, bits: u8) -> Result<Vec<f32>, CodecError> {
    match bits {
        32 => numbers(bytes, shape, f32::from_le_bytes),
        _ => numbers(bytes, shape, |raw| f64::from_le_bytes(raw) as f32),
    }
}

fn numbers<T, const N: usize>(
    bytes: &[u8],
    shape: &FrameShape,
    read: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, CodecError> {
    let (raw, _) = bytes.as_chunks::<N>();
    let raw = raw.get(..shape.samples()).ok_or(CodecError::Truncated)?;
    Ok(raw
        .iter()
        .map(|raw| {
            let mut raw = *raw;
            if shape.big_endian {
                raw.reverse();
            }
            read(raw)
        })
        .collect())
}

/// Planes, one after the other, to pixels.
fn interleave(planes: &[i32], components: usize) -> Vec<i32> {
    let area = planes.len() / components;
    (0..area)
        .flat_map(|pixel| (0..components).map(move |plane| planes[plane * area + pixel]))
        .collect()
}

/// Two lumas, then the chroma that both share (PS3.3 C.7.6.3.1.2, `YBR_FULL_422`).
fn halved_chroma(bytes: &[u8], shape: &FrameShape) -> Result<Vec<i32>, CodecError> {
    if shape.bits_allocated != 8 || shape.columns % 2 == 1 {
        return Err(CodecError::unsupported(
            "halved chroma with other than 8 bits or with odd rows",
        ));
    }
    let pixels = shape.columns * shape.rows;
    let (fours, _) = bytes.as_chunks::<4>();
    let fours = fours.get(..pixels / 2).ok_or(CodecError::Truncated)?;
    Ok(fours
        .iter()
        .flat_map(|[first, second, blue, red]| {
            [*first, *blue, *red, *second, *blue, *red].map(i32::from)
        })
        .collect())
}
