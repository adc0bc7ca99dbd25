//! Run lengths (PS3.5 annex G): one segment for each byte of each component, highest byte first.

use super::CodecError;
use crate::dicom::frames::FrameShape;

pub fn samples(bytes: &[u8], shape: &FrameShape) -> Result<Vec<i32>, CodecError> {
    let pixels = shape.columns * shape.rows;
    let sample_bytes = shape.bits_allocated.div_ceil(8) as usize;
    let (fields, _) = bytes.get(..64).ok_or(CodecError::Truncated)?.as_chunks::<4>();
    let field = |at: usize| fields.get(at).map_or(0, |raw| u32::from_le_bytes(*raw) as usize);
    let expected = sample_bytes * shape.components;
    if field(0) != expected || expected > 15 || !shape.bits_allocated.is_multiple_of(8) {
        return Err(CodecError::damaged(format!(
            "expected {expected} run-length segments of whole bytes, found {}",
            field(0)
        )));
    }
    let mut samples = vec![0_i32; pixels * shape.components];
    let mut plane = Vec::with_capacity(pixels);
    for segment in 0..expected {
        let end = if segment + 1 < expected { field(segment + 2) } else { bytes.len() };
        let packed =
            bytes.get(field(segment + 1)..end.min(bytes.len())).ok_or(CodecError::Truncated)?;
        plane.clear();
        unpack(packed, pixels, &mut plane)?;
        let component = segment / sample_bytes;
        let shift = 8 * (sample_bytes - 1 - segment % sample_bytes);
        for (sample, byte) in
            samples.iter_mut().skip(component).step_by(shape.components).zip(&plane)
        {
            *sample |= i32::from(*byte) << shift;
        }
    }
    Ok(samples)
}

/// PackBits; whatever follows the last pixel is padding.
fn unpack(mut packed: &[u8], pixels: usize, plane: &mut Vec<u8>) -> Result<(), CodecError> {
    while plane.len() < pixels {
        let (&[control], rest) = packed.split_first_chunk::<1>().ok_or(CodecError::Truncated)?;
        let room = pixels - plane.len();
        match control as i8 {
            literal @ 0.. => {
                let count = literal as usize + 1;
                let bytes = rest.get(..count).ok_or(CodecError::Truncated)?;
                plane.extend(&bytes[..count.min(room)]);
                packed = &rest[count..];
            }
            -128 => packed = rest,
            repeat => {
                let (byte, rest) = rest.split_first().ok_or(CodecError::Truncated)?;
                let count = 1 - isize::from(repeat);
                plane.resize(plane.len() + (count as usize).min(room), *byte);
                packed = rest;
            }
        }
    }
    Ok(())
}
