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

/// Nothing that this build computes on has the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// A graphics processor's way, which no build of this version has.
    #[error(
        "{0} is not built in: this version computes on cpu alone, fastest with --precision int8"
    )]
    NotBuilt(String),
    /// No device is called so.
    #[error("unknown device {0:?}; expected cpu")]
    Unknown(String),
}

/// What graphics processors are asked through elsewhere.
const GRAPHICS: [&str; 6] = ["cuda", "gpu", "metal", "rocm", "vulkan", "wgpu"];

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
            _ if GRAPHICS.contains(&name) => Err(ProcessorError::NotBuilt(name.into())),
            _ => Err(ProcessorError::Unknown(name.into())),
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
        let error = "vulkan".parse::<Processor>().unwrap_err();
        assert!(error.to_string().starts_with("vulkan is not built in: "), "{error}");
    }
}
