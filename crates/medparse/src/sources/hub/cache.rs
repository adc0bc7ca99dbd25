//! The cache folder, laid out as Python's `huggingface_hub` lays it out:
//!
//! ```text
//! models--OWNER--NAME/blobs/CHECKSUM              the bytes, under the hub's ETag
//! models--OWNER--NAME/blobs/CHECKSUM.incomplete   a download under way or interrupted
//! models--OWNER--NAME/snapshots/COMMIT/PATH       a relative link to the blob
//! models--OWNER--NAME/refs/REVISION               the commit that a branch or tag last meant
//! .locks/models--OWNER--NAME/CHECKSUM.lock        held (flock) while the blob is written
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::checksum::Checksum;
use super::error::HubError;
use super::reference::HubReference;

/// One repository's part of the cache.
pub(super) struct Store {
    folder: PathBuf,
    locks: PathBuf,
}

impl Store {
    pub(super) fn new(cache: &Path, reference: &HubReference) -> Self {
        let name = format!("models--{}--{}", reference.owner, reference.name);
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(&name) }
    }

    pub(super) fn blob(&self, checksum: &Checksum) -> PathBuf {
        self.folder.join("blobs").join(checksum.digits())
    }

    /// Where an interrupted download waits to go on.
    pub(super) fn incomplete(&self, checksum: &Checksum) -> PathBuf {
        self.folder.join("blobs").join(format!("{}.incomplete", checksum.digits()))
    }

    pub(super) fn snapshot(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    /// The commit a revision meant when it was last pulled; a commit means itself.
    pub(super) fn read_ref(&self, revision: &str) -> Result<Option<String>, HubError> {
        if is_commit(revision) {
            return Ok(Some(revision.to_owned()));
        }
        let path = self.folder.join("refs").join(revision);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|commit| is_commit(commit))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(HubError::cache("read", &path)(error)),
        }
    }

    /// Notes what a revision means now; nothing is written where that is known already.
    pub(super) fn write_ref(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if self.read_ref(revision)?.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        let folder = make_parent(&path)?;
        let write = || -> io::Result<()> {
            // Not `NamedTempFile::new_in`, whose file only its owner could read in a shared cache.
            let mut file =
                tempfile::Builder::new().make_in(folder, |path| File::create_new(path))?;
            file.write_all(commit.as_bytes())?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().map_err(HubError::cache("write", &path))
    }

    /// All files of a commit that are here, with `/` between folders, sorted.
    pub(super) fn snapshot_files(&self, commit: &str) -> Result<Vec<String>, HubError> {
        let mut files = Vec::new();
        let mut folders = vec![(self.folder.join("snapshots").join(commit), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(error) if is_absent(&error) => continue,
                entries => entries.map_err(HubError::cache("list", &folder))?,
            };
            for entry in entries {
                let entry = entry.map_err(HubError::cache("list", &folder))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{prefix}{name}");
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push((entry.path(), format!("{path}/")));
                } else if size_of(&entry.path()).is_some() {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Takes the lock under which a blob is written; `waiting` is called where another process holds it.
    ///
    /// None where the file system knows no locks: the checksum still guards the blob.
    pub(super) fn lock(
        &self,
        checksum: &Checksum,
        waiting: impl FnOnce(),
    ) -> Result<Option<File>, HubError> {
        let path = self.locks.join(format!("{}.lock", checksum.digits()));
        make_parent(&path)?;
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(HubError::cache("open the lock", &path))?;
        let locked = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        match locked {
            Ok(()) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(HubError::cache("lock", &path)(error)),
        }
    }

    /// Makes the blob visible under its own name in the commit's folder.
    pub(super) fn link(
        &self,
        commit: &str,
        file: &str,
        checksum: &Checksum,
    ) -> Result<PathBuf, HubError> {
        let pointer = self.snapshot(commit, file);
        let folder = make_parent(&pointer)?;
        // From snapshots/COMMIT up to the repository's folder are two steps, and one more for each folder of the path.
        let mut target: PathBuf =
            std::iter::repeat_n("..", 2 + file.matches('/').count()).collect();
        target.extend(["blobs", checksum.digits()]);
        if fs::read_link(&pointer).is_ok_and(|found| found == target) {
            return Ok(pointer);
        }
        let blob = self.blob(checksum);
        let link = || -> io::Result<()> {
            let made =
                tempfile::Builder::new().make_in(folder, |path| point(&target, &blob, path))?;
            made.persist(&pointer).map_err(|error| error.error)
        };
        link().map_err(HubError::cache("write", &pointer))?;
        Ok(pointer)
    }
}

/// Creates the folder that a file will lie in.
pub(super) fn make_parent(path: &Path) -> Result<&Path, HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(HubError::cache("create the folder", parent))?;
    Ok(parent)
}

/// A regular file's size, links followed; none where there is no such file.
pub(super) fn size_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}

/// Whether a text is a full commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// A symbolic link, or where the system forbids those a second name for the blob, or at last a copy.
fn point(target: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(target, path);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_file(target, path);
    match linked {
        // `make_in` tries another name then.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(drop)),
        Ok(()) => Ok(()),
    }
}
