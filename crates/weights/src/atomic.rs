//! A file that appears under its name only once it is complete and on the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::WeightsError;

/// Writes `path` through a temporary file beside it; on any error nothing is left behind and an older file stays.
///
/// `write` reports the operating system's errors as [`WriteError::Io`]; they come back naming `path`.
pub(crate) fn write_atomically<F>(path: &Path, write: F) -> Result<(), WeightsError>
where
    F: FnOnce(&mut BufWriter<&File>) -> Result<(), WriteError>,
{
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".medparse-").suffix(".part");
    #[cfg(unix)]
    {
        // As any new file: the process's umask decides, instead of the owner-only rights of temporary files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary =
        builder.tempfile_in(folder).map_err(|e| WeightsError::io(folder, "create a file in", e))?;

    let failed = |e| WeightsError::io(path, "write", e);
    let mut buffer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut buffer).map_err(|e| e.at(path))?;
    buffer.flush().map_err(failed)?;
    drop(buffer);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|e| failed(e.error))?;
    // The new name itself must reach the disk too; where folders cannot be synchronized, it does so on its own.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// What can go wrong within [`write_atomically`].
pub(crate) enum WriteError {
    /// The operating system's error on the file being written.
    Io(io::Error),
    /// Anything else.
    Weights(WeightsError),
}

impl WriteError {
    /// The same as an error that names the file being written.
    pub(crate) fn at(self, path: &Path) -> WeightsError {
        match self {
            Self::Io(source) => WeightsError::io(path, "write", source),
            Self::Weights(error) => error,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<zip::result::ZipError> for WriteError {
    fn from(error: zip::result::ZipError) -> Self {
        Self::Io(error.into())
    }
}

impl From<WeightsError> for WriteError {
    fn from(error: WeightsError) -> Self {
        Self::Weights(error)
    }
}
