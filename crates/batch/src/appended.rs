//! A file that grows by whole rows, and is cut back to the last one that counts.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that rows are appended to.
#[derive(Debug)]
pub struct AppendedFile {
    path: PathBuf,
    file: File,
    length: u64,
}

/// Why rows can't be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The system's reason.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// Somebody took rows away that are done by the journal's word.
    #[error(
        "{} has {found} bytes, but the journal beside it speaks of {expected}: it was changed since; \
         use another output folder",
        path.display()
    )]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Bytes that the journal speaks of.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
}

impl AppendedFile {
    /// Opens or makes a file and cuts off what is beyond `length` bytes: rows, whole or torn, of which
    /// the journal knows nothing.
    ///
    /// # Errors
    /// When it can't be opened, or is shorter than that.
    pub fn open(path: &Path, length: u64) -> Result<Self, AppendError> {
        let refuse = |error| AppendError::Write { path: path.into(), error };
        let mut file = open_or_make(path).map_err(refuse)?;
        let found = file.metadata().map_err(refuse)?.len();
        if found < length {
            return Err(AppendError::Shorter { path: path.into(), expected: length, found });
        }
        file.set_len(length).map_err(refuse)?;
        file.seek(SeekFrom::End(0)).map_err(refuse)?;
        Ok(Self { path: path.into(), file, length })
    }

    /// Appends a row and gives the file's new length in bytes.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn append(&mut self, row: &[u8]) -> Result<u64, AppendError> {
        self.file.write_all(row).map_err(|error| self.refuse(error))?;
        self.length += row.len() as u64;
        Ok(self.length)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn sync(&self) -> Result<(), AppendError> {
        self.file.sync_data().map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: std::io::Error) -> AppendError {
        AppendError::Write { path: self.path.clone(), error }
    }
}

/// Opens a file to be read and written as it is, or makes an empty one.
pub(crate) fn open_or_make(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_row_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let mut file = AppendedFile::open(&path, 0).unwrap();
        let length = file.append(b"one\n").unwrap();
        file.append(b"tw").unwrap();
        drop(file);
        let mut file = AppendedFile::open(&path, length).unwrap();
        assert_eq!(file.append(b"two\n").unwrap(), 8);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_shortened_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "one\n").unwrap();
        let error = AppendedFile::open(&path, 8).unwrap_err().to_string();
        assert!(error.contains("has 4 bytes, but the journal beside it speaks of 8"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
    }
}
