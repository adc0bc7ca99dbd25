//! Element types of stored tensors, and their conversion from and to `f32`.

use std::borrow::Cow;
use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// What one element of a stored tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an `f32`.
    BF16,
    /// Signed, 8 bytes.
    I64,
    /// Signed, 4 bytes.
    I32,
    /// Signed, 2 bytes.
    I16,
    /// Signed, 1 byte.
    I8,
    /// Unsigned, 8 bytes.
    U64,
    /// Unsigned, 4 bytes.
    U32,
    /// Unsigned, 2 bytes.
    U16,
    /// Unsigned, 1 byte.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl ElementType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether the type is a floating-point one, which [`Entry::read_f32`](crate::Entry::read_f32) converts.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// The name safetensors headers use (`F32`, `BF16`, `BOOL`, …).
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The floating-point types a tensor of `f32` values can be stored as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FloatType {
    /// Exact, 4 bytes.
    #[default]
    F32,
    /// Rounded to nearest even, 2 bytes, largest value 65504.
    F16,
    /// Rounded to nearest even, 2 bytes, the range of `f32` with 8 bits of precision.
    BF16,
}

impl From<FloatType> for ElementType {
    fn from(float: FloatType) -> Self {
        match float {
            FloatType::F32 => Self::F32,
            FloatType::F16 => Self::F16,
            FloatType::BF16 => Self::BF16,
        }
    }
}

/// Little-endian `bytes` of a floating-point type as `f32`, or `None` for any other type.
///
/// `f16` and `bf16` are exact, `f64` is rounded to nearest; a last incomplete element is left out.
pub(crate) fn decode(bytes: &[u8], element_type: ElementType) -> Option<Vec<f32>> {
    Some(match element_type {
        // A plain copy: `pod_collect_to_vec` takes any alignment.
        ElementType::F32 => bytemuck::pod_collect_to_vec(whole(bytes, 4)),
        ElementType::F16 => {
            let halves: Vec<f16> = bytemuck::pod_collect_to_vec(whole(bytes, 2));
            halves.to_f32_vec()
        }
        ElementType::BF16 => {
            let halves: Vec<bf16> = bytemuck::pod_collect_to_vec(whole(bytes, 2));
            halves.to_f32_vec()
        }
        ElementType::F64 => {
            bytes.as_chunks::<8>().0.iter().map(|&chunk| f64::from_le_bytes(chunk) as f32).collect()
        }
        _ => return None,
    })
}

/// `bytes` without a last incomplete element.
fn whole(bytes: &[u8], size: usize) -> &[u8] {
    bytes.get(..bytes.len() / size * size).unwrap_or(bytes)
}

/// `values` as little-endian bytes of `float`, lent where they are that already.
///
/// # Errors
///
/// The index and value of the first finite number beyond the type's range, which would be stored as an infinity.
pub(crate) fn encode(values: &[f32], float: FloatType) -> Result<Cow<'_, [u8]>, (usize, f32)> {
    match float {
        FloatType::F32 => Ok(Cow::Borrowed(bytemuck::cast_slice(values))),
        FloatType::F16 => {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            half_bytes(values, &halves, f16::is_infinite).map(Cow::Owned)
        }
        FloatType::BF16 => {
            let mut halves = vec![bf16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            half_bytes(values, &halves, bf16::is_infinite).map(Cow::Owned)
        }
    }
}

/// The bytes of what `values` were rounded to, unless a finite one became an infinity.
fn half_bytes<H: bytemuck::NoUninit>(
    values: &[f32],
    halves: &[H],
    is_infinite: fn(H) -> bool,
) -> Result<Vec<u8>, (usize, f32)> {
    let lost = |(value, half): (&f32, &H)| value.is_finite() && is_infinite(*half);
    match values.iter().zip(halves).position(lost) {
        Some(index) => Err((index, values[index])),
        None => Ok(bytemuck::cast_slice(halves).to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every half against the scalar conversion, at odd lengths, which vectorized conversions treat apart.
    #[test]
    fn halves_convert_as_one_by_one() {
        let bits: Vec<u16> = (0..=u16::MAX).collect();
        for length in [0, 1, 7, 8, 9, 4099, 65_535] {
            let bits = &bits[65_536 - length..];
            let bytes: &[u8] = bytemuck::cast_slice(bits);
            let f16s = decode(bytes, ElementType::F16).unwrap();
            let bf16s = decode(bytes, ElementType::BF16).unwrap();
            assert_eq!((f16s.len(), bf16s.len()), (length, length));
            for (i, &bits) in bits.iter().enumerate() {
                let same =
                    |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
                assert!(same(f16s[i], f16::from_bits(bits).to_f32()), "f16 {bits:04x}");
                assert!(same(bf16s[i], bf16::from_bits(bits).to_f32()), "bf16 {bits:04x}");
            }
        }
    }

    #[test]
    fn floats_round_to_the_nearest_even() {
        let values = [
            1.0,
            1.0 + 1.0 / 2048.0,
            1.0 + 3.0 / 2048.0,
            1.0 + 1.0 / 256.0,
            2.0f32.powi(-25),
            -65519.0,
            0.1,
        ];
        let stored = decode(&encode(&values, FloatType::F16).unwrap(), ElementType::F16).unwrap();
        let rounded =
            [1.0, 1.0, 1.0 + 2.0 / 1024.0, 1.0 + 1.0 / 256.0, 0.0, -65504.0, 0.099_975_586];
        assert_eq!(stored, rounded);
        let stored = decode(&encode(&values, FloatType::BF16).unwrap(), ElementType::BF16).unwrap();
        assert_eq!(stored, [1.0, 1.0, 1.0, 1.0, 2.0f32.powi(-25), -65536.0, 0.100_097_656]);
        let stored = decode(&encode(&values, FloatType::F32).unwrap(), ElementType::F32).unwrap();
        assert_eq!(stored, values);
    }

    #[test]
    fn integers_are_not_numbers_here_and_an_incomplete_element_is_left_out() {
        assert_eq!(decode(&[0; 8], ElementType::I64), None);
        assert_eq!(decode(&[0; 7], ElementType::F32), Some(vec![0.0]));
        assert_eq!(decode(&1.5f64.to_le_bytes(), ElementType::F64), Some(vec![1.5]));
    }
}
