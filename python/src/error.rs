//! Errors as Python knows them.

use std::fmt::Display;

use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::{PyErr, create_exception};

// Named as users import it, so that another process finds it too.
create_exception!(
    medparse,
    MedparseError,
    PyException,
    "What medparse could not do; the message is a whole sentence."
);

/// Whatever has no built-in exception of its own.
pub fn refused(error: impl Display) -> PyErr {
    MedparseError::new_err(error.to_string())
}

/// An argument that can't be used.
pub fn unusable(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A file that is not there is a `FileNotFoundError`, and so on; what a file holds is a [`MedparseError`].
pub fn of_file(error: medparse_imaging::Error) -> PyErr {
    use medparse_imaging::Error;
    match &error {
        Error::Read { reason, .. } | Error::Write { reason, .. } => {
            PyErr::from(std::io::Error::new(reason.kind(), error.to_string()))
        }
        _ => refused(error),
    }
}

/// As [`of_file`], from the system's own account.
pub fn of_system(path: &std::path::Path, error: &std::io::Error) -> PyErr {
    let sentence = format!("cannot read {}: {error}", path.display());
    match error.raw_os_error() {
        Some(_) => PyErr::from(std::io::Error::new(error.kind(), sentence)),
        None => PyOSError::new_err(sentence),
    }
}
