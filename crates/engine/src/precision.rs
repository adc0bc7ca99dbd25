//! The number formats that products are computed in.

use std::fmt;
use std::str::FromStr;

/// How exactly a network computes.
///
/// Whatever the format of the products, sums are taken in f32 (in 32-bit integers for bytes), and
/// norms, activations, softmax, the attention of tokens to each other and everything that decides
/// which query speaks stay in f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats, as the reference.
    #[default]
    F32,
    /// bfloat16 products, also of the queries with the picture's keys and values.
    Bf16,
    /// Byte products in the picture's part of the network (weights with a scale for each output
    /// channel, activations with a scale for each row), but for its 3×3 convolutions; bfloat16
    /// products there and elsewhere.
    Int8,
}

/// The name is none of a known precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision {0:?}; expected f32, bf16 or int8")]
pub struct PrecisionError(String);

impl Precision {
    /// All of them, from exact to fast.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// `f32`, `bf16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The format of the words' and queries' part of the network, which takes little time.
    pub(crate) fn of_words(self) -> Self {
        match self {
            Self::F32 => Self::F32,
            Self::Bf16 | Self::Int8 => Self::Bf16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(name: &str) -> Result<Self, PrecisionError> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| PrecisionError(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "fp8".parse::<Precision>().unwrap_err();
        assert_eq!(error.to_string(), "unknown precision \"fp8\"; expected f32, bf16 or int8");
    }
}
