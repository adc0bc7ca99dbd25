//! What survives a restart: endpoints, deployments and hashed keys, in one JSON file written atomically.
//!
//! One file and not an embedded database, because the state is small (a few kilobytes), because `medparse keys` must
//! be able to change it while a server runs (an embedded database locks its file for one process), and because an
//! operator can read it. Writers hold an advisory lock, write a temporary file, flush it to the disk and rename it
//! over the old one; a server notices the new file by its identity, with one `stat` each time it looks.

mod records;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use thiserror::Error;

pub use records::{
    AuthMode, DeploymentRecord, Document, EndpointRecord, Extra, KeyHash, KeyRecord,
    RequestSettings, RetiredKey, Scope,
};

use crate::auth::MasterSecret;

const STATE: &str = "state.json";
const LOCK: &str = "state.lock";
const SECRET: &str = "secret.key";

/// Why the state cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or folder of the state.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The state file is damaged.
    #[error("{} is not a state file of this program: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The state file was written by a newer program.
    #[error("{} has the format {found}; this program reads up to {}", path.display(), Document::FORMAT)]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
}

/// The state of a server, or of a command that changes it.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    secret: MasterSecret,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    identity: Option<FileIdentity>,
    document: Arc<Document>,
}

/// What tells one version of the state file from the next: every version is a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Store {
    /// Opens the state in `folder`, making both when they do not exist.
    ///
    /// # Errors
    /// When the folder or its files cannot be read or written, or are not this program's.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        create_private_folder(&folder)?;
        let secret = open_secret(&folder)?;
        let current = Mutex::new(Current { identity: None, document: Arc::default() });
        let store = Self { folder, secret, current };
        store.read()?;
        Ok(store)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The secret that endpoint keys and tokens are derived from.
    pub(crate) fn secret(&self) -> &MasterSecret {
        &self.secret
    }

    /// The state as it is now on the disk, whoever wrote it.
    ///
    /// # Errors
    /// When the file cannot be read; the caller decides whether an older state is better than none.
    pub fn read(&self) -> Result<Arc<Document>, StoreError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = self.identify()?;
        if identity != current.identity {
            current.document = Arc::new(self.load()?);
            current.identity = identity;
        }
        Ok(current.document.clone())
    }

    /// Changes the state: `change` sees what is on the disk now, and what it leaves is written, or nothing when it
    /// fails. Waits for other writers.
    ///
    /// # Errors
    /// The change's own, or that the state cannot be read or written.
    pub fn update<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Document) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock()?;
        let mut document = Document::clone(&*self.read()?);
        let outcome = change(&mut document)?;
        document.revision += 1;
        self.write(&document)?;
        Ok(outcome)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    fn identify(&self) -> Result<Option<FileIdentity>, StoreError> {
        match fs::metadata(self.path()) {
            Ok(metadata) => Ok(Some(FileIdentity {
                inode: inode(&metadata),
                length: metadata.len(),
                modified: metadata.modified().ok(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(StoreError::Io { action: "read", path: self.path(), cause }),
        }
    }

    fn load(&self) -> Result<Document, StoreError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::default()),
            Err(cause) => return Err(StoreError::Io { action: "read", path, cause }),
        };
        let document: Document = serde_json::from_slice(&text).map_err(|error| {
            StoreError::Damaged { path: path.clone(), reason: error.to_string() }
        })?;
        if document.format > Document::FORMAT {
            return Err(StoreError::Newer { path, found: document.format });
        }
        Ok(document)
    }

    fn lock(&self) -> Result<File, StoreError> {
        let path = self.folder.join(LOCK);
        let error = |cause| StoreError::Io { action: "lock", path: path.clone(), cause };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(error)?;
        file.lock().map_err(error)?;
        Ok(file)
    }

    fn write(&self, document: &Document) -> Result<(), StoreError> {
        let path = self.path();
        let error = |cause| StoreError::Io { action: "write", path: path.clone(), cause };
        let mut text = serde_json::to_vec_pretty(document).map_err(|cause| error(cause.into()))?;
        text.push(b'\n');
        // tempfile makes files that their owner alone can read.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(error)?;
        file.write_all(&text).map_err(error)?;
        file.as_file().sync_all().map_err(error)?;
        file.persist(&path).map_err(|failed| error(failed.error))?;
        // The rename itself must reach the disk before anybody is told that the change is made.
        if let Ok(folder) = File::open(&self.folder) {
            folder.sync_all().map_err(error)?;
        }
        Ok(())
    }
}

/// Opens the secret, making it on the first start.
fn open_secret(folder: &Path) -> Result<MasterSecret, StoreError> {
    let path = folder.join(SECRET);
    let error = |action| {
        let path = path.clone();
        move |cause| StoreError::Io { action, path, cause }
    };
    let mut bytes = [0; MasterSecret::LENGTH];
    match File::open(&path) {
        Ok(mut file) => {
            file.read_exact(&mut bytes).map_err(error("read"))?;
            return Ok(MasterSecret::new(bytes));
        }
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(error("read")(cause)),
    }
    bytes = crate::auth::random_bytes();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error("write"))?;
    file.write_all(&bytes).map_err(error("write"))?;
    file.as_file().sync_all().map_err(error("write"))?;
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(MasterSecret::new(bytes)),
        // Another process made it in the meantime: its secret is the one.
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => open_secret(folder),
        Err(failed) => Err(error("write")(failed.error)),
    }
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|cause| StoreError::Io { action: "make", path: folder.to_owned(), cause })
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|cause| StoreError::Io {
        action: "make",
        path: folder.to_owned(),
        cause,
    })
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_sees_what_another_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) =
            (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
        for revision in 1..20 {
            one.update::<_, StoreError>(|document| {
                document.default_endpoint = Some(format!("e{revision}"));
                Ok(())
            })
            .unwrap();
            assert_eq!(other.read().unwrap().revision, revision);
            assert_eq!(
                other.read().unwrap().default_endpoint.as_deref(),
                Some(&*format!("e{revision}"))
            );
        }
        assert_eq!(one.secret().derive("x", &["y"]), other.secret().derive("x", &["y"]));
    }

    #[test]
    fn concurrent_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = Store::open(folder.path()).unwrap();
                    for _ in 0..10 {
                        store.update::<_, StoreError>(|_| Ok(())).unwrap();
                    }
                });
            }
        });
        assert_eq!(Store::open(folder.path()).unwrap().read().unwrap().revision, 40);
    }

    #[test]
    fn a_failed_change_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let failed: Result<(), StoreError> = store.update(|document| {
            document.default_endpoint = Some("half".into());
            Err(StoreError::Damaged { path: "x".into(), reason: "y".into() })
        });
        assert!(failed.is_err());
        assert_eq!(store.read().unwrap().default_endpoint, None);
    }

    #[test]
    fn a_damaged_or_newer_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(STATE), "{").unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("state.json is not a state file of this program"), "{error}");
        fs::write(folder.path().join(STATE), r#"{"format": 999}"#).unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has the format 999; this program reads up to 1"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_state() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let store = Store::open(parent.path().join("state")).unwrap();
        store.update::<_, StoreError>(|_| Ok(())).unwrap();
        for (path, mode) in [("", 0o700), (STATE, 0o600), (SECRET, 0o600)] {
            let found =
                fs::metadata(store.folder().join(path)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{path}: {found:o}");
        }
    }
}
