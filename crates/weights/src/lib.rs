//! Checkpoint files as named tensors that are read when asked for, and their atomic writing.
//!
//! It stands on `medparse-kernels` (for the memory map) and below `medparse-network`; it knows file formats and element
//! types, and no network: which names a model needs, and in what shapes, is decided above.
//!
//! ```no_run
//! use medparse_weights::Checkpoint;
//!
//! let checkpoint = Checkpoint::open("biomedparse_v1.pt")?; // names, shapes and offsets only
//! let norm = checkpoint.require("backbone.norm0.weight")?; // or an error with the nearest names
//! println!("{:?} {:?}", norm.shape(), norm.read_f32()?);   // the bytes are read here
//! # Ok::<(), medparse_weights::WeightsError>(())
//! ```
//!
//! * **Reading**: PyTorch's zip and pre-1.6 streams ([`Format`]), whose pickles are data and never run (an import of
//!   anything but plain data refuses the file), and memory-mapped safetensors.
//! * **Writing**: [`write_torch`] and [`write_safetensors`] stream [`TensorSource`]s one tensor at a time into a temporary
//!   file beside the target, which takes the target's name only once it is complete and on the disk.
//! * **[`deterministic`]** weights: values computed from a tensor's name alone, for tests and for files without training.

#[cfg(target_endian = "big")]
compile_error!(
    "checkpoint files are little-endian, and this crate hands their bytes out unconverted"
);

mod atomic;
mod checkpoint;
pub mod deterministic;
mod element;
mod entry;
mod error;
mod format;
mod pickle_policy;
mod safetensors_reader;
mod safetensors_writer;
mod source;
mod torch_pickle;
mod torch_reader;
mod torch_writer;

pub use checkpoint::Checkpoint;
pub use element::{ElementType, FloatType};
pub use entry::Entry;
pub use error::WeightsError;
pub use format::Format;
pub use safetensors_writer::write_safetensors;
pub use source::{Progress, TensorSource};
pub use torch_writer::write_torch;
