//! What computes.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// A kind of processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Processor {
    /// The processor of this machine.
    #[default]
    Cpu,
    /// An NVIDIA GPU, in builds with the feature `cuda`.
    Cuda,
    /// Any GPU with Vulkan, in builds with the feature `vulkan`.
    Vulkan,
    /// An Apple GPU, in builds with the feature `metal`.
    Metal,
}

/// Why a processor can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// The name is none of the known ones.
    #[error("unknown device {0:?}; expected cpu, cuda, vulkan or metal")]
    Unknown(String),
    /// The program was built without it.
    #[error("this medparse was built without {0}; build it with `--features {0}`, or use cpu")]
    NotBuilt(Processor),
}

impl Processor {
    /// The processor as the network knows it.
    ///
    /// # Errors
    /// When this build does not include it.
    pub fn device(self) -> Result<Device, ProcessorError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
            other => Err(ProcessorError::NotBuilt(other)),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
        })
    }
}

impl FromStr for Processor {
    type Err = ProcessorError;

    fn from_str(name: &str) -> Result<Self, ProcessorError> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "vulkan" => Ok(Self::Vulkan),
            "metal" => Ok(Self::Metal),
            _ => Err(ProcessorError::Unknown(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for name in ["cpu", "cuda", "vulkan", "metal"] {
            assert_eq!(name.parse::<Processor>().unwrap().to_string(), name);
        }
        let error = "tpu".parse::<Processor>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown device \"tpu\"; expected cpu, cuda, vulkan or metal"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn what_is_not_built_says_how_to_build_it() {
        let error = Processor::Cuda.device().unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
}
