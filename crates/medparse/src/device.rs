//! What computes.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// A kind of processor; so far the network is known to run on one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Processor {
    /// The processor of this machine.
    #[default]
    Cpu,
}

/// The name is none of a known processor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {0:?}; expected cpu")]
pub struct ProcessorError(String);

impl Processor {
    /// The processor as the network knows it.
    pub fn device(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
        })
    }
}

impl FromStr for Processor {
    type Err = ProcessorError;

    fn from_str(name: &str) -> Result<Self, ProcessorError> {
        match name {
            "cpu" => Ok(Self::Cpu),
            _ => Err(ProcessorError(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        assert_eq!("cpu".parse::<Processor>().unwrap().to_string(), "cpu");
        let error = "tpu".parse::<Processor>().unwrap_err();
        assert_eq!(error.to_string(), "unknown device \"tpu\"; expected cpu");
    }
}
