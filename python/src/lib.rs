//! The extension module `medparse._medparse`: the library's calls, on NumPy's arrays.
//!
//! Pixels are copied in once, so that no other thread changes them while the model looks; masks and
//! probabilities are handed over without a copy. Everything that computes or reads files lets other
//! Python threads run. The package around it (`medparse/`) holds what is easier said in Python.

mod answer;
mod error;
mod evaluate;
mod findings;
mod interrupt;
mod model;
mod picture;
mod prepare;
mod volume;

use pyo3::prelude::*;

/// Large tensors come and go by the second; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _medparse {
    #[pymodule_export]
    use super::answer::{Answer, VolumeAnswer};
    #[pymodule_export]
    use super::error::MedparseError;
    #[pymodule_export]
    use super::evaluate::evaluate;
    #[pymodule_export]
    use super::findings::{encode_findings, output_endings};
    #[pymodule_export]
    use super::model::{Encoded, Model};
    #[pymodule_export]
    use super::picture::{Picture, encode_mask, overlay};
    #[pymodule_export]
    use super::prepare::{Placement, prepare};
    #[pymodule_export]
    use super::volume::Volume;
}
