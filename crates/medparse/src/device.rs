//! What computes.
//!
//! This machine's own processor always can. Graphics processors can where the program was built with their feature
//! and the machine has one: they run the network in burn, in f32.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// A kind of processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Processor {
    /// The processor of this machine.
    #[default]
    Cpu,
    /// NVIDIA's graphics processors.
    Cuda,
    /// Apple's.
    Metal,
    /// Those with a Vulkan driver, among them software devices.
    Vulkan,
    /// Whatever the system offers, Vulkan, Metal or Direct3D 12, in portable shaders.
    Wgpu,
}

/// Nothing that this build or machine computes on has the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessorError {
    /// The program was built without it.
    #[error(
        "this build does not compute on {0}: build one that does with `cargo install --path \
         crates/cli --features {feature}`, or use --device cpu, fastest with --precision int8",
        feature = .0.feature()
    )]
    NotBuilt(Processor),
    /// The program can, the machine can't.
    #[error("no device for {processor} on this machine: {reason}; --device cpu works everywhere")]
    NotHere {
        /// What was asked for.
        processor: Processor,
        /// What the driver, or the lack of one, says.
        reason: String,
    },
    /// No device is called so.
    #[error("unknown device {0:?}; expected cpu, cuda, metal, vulkan or wgpu")]
    Unknown(String),
}

impl Processor {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Cuda, Self::Metal, Self::Vulkan, Self::Wgpu];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
        }
    }

    /// True where the program was built with it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal | Self::Vulkan | Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }

    /// The cargo feature that brings it.
    fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "default",
            Self::Cuda => "cuda",
            Self::Metal | Self::Vulkan | Self::Wgpu => "wgpu",
        }
    }

    /// The processor as the network knows it, opened the first time that it is asked for.
    ///
    /// # Errors
    /// Where the program was built without it, or the machine has none.
    pub fn device(self) -> Result<Device, ProcessorError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            _ => graphics::open(self),
        }
    }
}

/// Graphics processors, opened once each.
mod graphics {
    use std::sync::Mutex;

    use burn::tensor::Device;

    use super::{Processor, ProcessorError};

    /// Those that were opened: a driver is initialised once in a process.
    static OPENED: Mutex<Vec<(Processor, Device)>> = Mutex::new(Vec::new());

    pub(super) fn open(processor: Processor) -> Result<Device, ProcessorError> {
        let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, device)) = opened.iter().find(|(known, _)| *known == processor) {
            return Ok(device.clone());
        }
        let device = first(processor)?;
        opened.push((processor, device.clone()));
        Ok(device)
    }

    /// The first device that its driver names.
    fn first(processor: Processor) -> Result<Device, ProcessorError> {
        match processor {
            #[cfg(feature = "cuda")]
            Processor::Cuda => cuda(),
            #[cfg(feature = "wgpu")]
            Processor::Metal => shaders(processor, burn::tensor::wgpu::WgpuBackend::Metal),
            #[cfg(feature = "wgpu")]
            Processor::Vulkan => shaders(processor, burn::tensor::wgpu::WgpuBackend::Vulkan),
            #[cfg(feature = "wgpu")]
            Processor::Wgpu => shaders(processor, burn::tensor::wgpu::WgpuBackend::Auto),
            _ => Err(ProcessorError::NotBuilt(processor)),
        }
    }

    #[cfg(feature = "wgpu")]
    fn shaders(
        processor: Processor,
        backend: burn::tensor::wgpu::WgpuBackend,
    ) -> Result<Device, ProcessorError> {
        let options = Device::wgpu_options().graphics_api(backend);
        options.init().map_err(|error| ProcessorError::NotHere {
            processor,
            reason: error.to_string().trim_end_matches('.').to_owned(),
        })
    }

    /// The driver's library is looked for when a device is first used, and burn panics where there is none.
    #[cfg(feature = "cuda")]
    fn cuda() -> Result<Device, ProcessorError> {
        use burn::tensor::DeviceType;

        let found = std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_vec());
        let missing = |reason: &str| ProcessorError::NotHere {
            processor: Processor::Cuda,
            reason: reason.to_owned(),
        };
        found
            .map_err(|_| missing("NVIDIA's driver can't be loaded"))?
            .into_iter()
            .next()
            .ok_or_else(|| missing("NVIDIA's driver names none"))
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Processor {
    type Err = ProcessorError;

    fn from_str(name: &str) -> Result<Self, ProcessorError> {
        let named = Self::ALL.into_iter().find(|processor| processor.name() == name);
        match named {
            Some(processor) if processor.is_built() => Ok(processor),
            Some(processor) => Err(ProcessorError::NotBuilt(processor)),
            None => Err(ProcessorError::Unknown(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for processor in Processor::ALL {
            match processor.name().parse::<Processor>() {
                Ok(found) => assert_eq!(found, processor),
                Err(error) => {
                    assert!(!processor.is_built());
                    let start = format!("this build does not compute on {processor}: ");
                    assert!(error.to_string().starts_with(&start), "{error}");
                }
            }
        }
        let error = "tpu".parse::<Processor>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown device \"tpu\"; expected cpu, cuda, metal, vulkan or wgpu"
        );
    }

    #[test]
    fn what_is_not_built_is_not_opened() {
        assert!(Processor::Cpu.device().is_ok());
        for processor in Processor::ALL.into_iter().filter(|processor| !processor.is_built()) {
            assert_eq!(processor.device().unwrap_err(), ProcessorError::NotBuilt(processor));
        }
    }
}
