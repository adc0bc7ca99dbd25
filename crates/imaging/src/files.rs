//! Files, read within limits and written whole or not at all.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use crate::error::IoReason;
use crate::{Error, Limits};

/// Writes a file so that nobody ever sees half of it: into a temporary file beside it, which then takes its name.
///
/// An existing file is replaced, and stays as it was when writing fails. On Unix the new file has the permissions that
/// the process's umask gives to any new file. A file is whole for every other process and after a crash of this one; the
/// disk is not waited for, so a power cut within seconds can still lose it.
///
/// # Errors
/// [`Error::Write`] names the path and the reason: its folder is missing or a file, no permission, it is a folder, the disk
/// is full.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("answer.json");
/// medparse_imaging::write_atomic(&path, b"{}").unwrap();
/// assert_eq!(std::fs::read(&path).unwrap(), b"{}");
/// ```
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    let path = path.as_ref();
    let refuse =
        |error: std::io::Error| Error::Write { path: path.to_owned(), reason: IoReason(error) };
    if path.is_dir() {
        return Err(refuse(ErrorKind::IsADirectory.into()));
    }
    let folder = folder_of(path);
    if !folder.exists() {
        return Err(refuse(std::io::Error::other(format!(
            "its folder {} does not exist",
            folder.display()
        ))));
    }
    let prefix = unfinished_prefix(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is private by default; a result should be as readable as any new file.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(refuse)?;
    file.write_all(bytes).map_err(refuse)?;
    file.persist(path).map_err(|error| refuse(error.error))?;
    Ok(())
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// How the temporary files begin that a file is written into before it takes its name.
fn unfinished_prefix(path: &Path) -> std::ffi::OsString {
    // Names of more bytes than a file system takes would be refused for their temporary file already.
    const LONGEST: usize = 200;
    let mut prefix = std::ffi::OsString::from(".");
    if let Some(name) = path.file_name().filter(|name| name.len() <= LONGEST) {
        prefix.push(name);
    }
    prefix.push(".medparse-");
    prefix
}

/// Takes away the temporary files of a [`write_atomic`] to `path` that was killed.
///
/// To be called by who knows that nobody writes `path` now; what cannot be taken away stays.
pub fn discard_unfinished(path: impl AsRef<Path>) {
    let path = path.as_ref();
    let prefix = unfinished_prefix(path);
    let Ok(entries) = std::fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The bytes of a file, refused by its length before they are read.
pub(crate) fn read_limited(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
    let refuse =
        |error: std::io::Error| Error::Read { path: path.to_owned(), reason: IoReason(error) };
    let in_file = |error: Error| error.in_file(path);
    let file = File::open(path).map_err(refuse)?;
    let metadata = file.metadata().map_err(refuse)?;
    if metadata.is_dir() {
        return Err(refuse(ErrorKind::IsADirectory.into()));
    }
    limits.check_encoded(metadata.len()).map_err(in_file)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // A pipe or a growing file is longer than its metadata says.
    file.take(limits.max_encoded_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    limits.check_encoded(bytes.len() as u64).map_err(in_file)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_a_killed_writer_left_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        write_atomic(&path, b"whole").unwrap();
        for name in [".mask.png.medparse-abc123", ".other.png.medparse-abc123"] {
            std::fs::write(folder.path().join(name), b"half").unwrap();
        }
        discard_unfinished(&path);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert!(!folder.path().join(".mask.png.medparse-abc123").exists());
        assert!(folder.path().join(".other.png.medparse-abc123").exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_result_is_as_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomic(&ours, b"").unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn refusals_name_path_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"kept").unwrap();
        let cases = [
            (folder.path().to_owned(), "it is a folder"),
            (folder.path().join("missing/mask.png"), "does not exist"),
            (file.join("mask.png"), "a part of its path is a file"),
        ];
        for (path, reason) in cases {
            let sentence = write_atomic(&path, b"x").unwrap_err().to_string();
            assert!(
                sentence.contains(path.to_str().unwrap()) && sentence.contains(reason),
                "{sentence}"
            );
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }

    #[test]
    fn reading_refuses_folders_absent_and_long_files() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, [0; 100]).unwrap();
        let limits = Limits { max_encoded_bytes: 99, ..Limits::default() };
        for (path, reason) in [
            (folder.path().to_owned(), "it is a folder"),
            (folder.path().join("absent"), "no such file"),
            (long, "the file has 100 bytes, the limit is 99 bytes"),
        ] {
            let sentence = read_limited(&path, &limits).unwrap_err().to_string();
            assert!(
                sentence.contains(path.to_str().unwrap()) && sentence.contains(reason),
                "{sentence}"
            );
        }
    }
}
