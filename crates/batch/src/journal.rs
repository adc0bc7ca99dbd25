//! What is done: one line an item, written after its outputs.

mod read;

use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::appended::open_or_make;
use crate::{ItemKey, Shard};
use read::{Past, Whole, read};

/// The folder of journals inside an output folder.
const FOLDER: &str = ".medparse-batch";

/// The form of the lines.
const VERSION: u32 = 1;

/// A run's memory: a file of JSON lines in the output folder, one file a shard.
///
/// The first line says how items are asked. A last line that a kill cut short counts for nothing.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Locked as long as the run lives: the system lets go of it when the program ends, however it does.
    file: File,
    past: Past,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The item's name.
    pub item: String,
    /// Its key, in hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub key: ItemKey,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What came of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Its outputs are there.
    Done {
        /// Bytes of the common file of rows after its own, where there is such a file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
    },
    /// It could not be done; the next run tries it again.
    Failed {
        /// Why not, in a sentence.
        reason: String,
    },
}

/// What a journal says of a finished item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The item's name.
    pub item: String,
    /// Whether this shard's own journal says so.
    pub own: bool,
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file can't be read or written.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Another run works on the same items.
    #[error(
        "another run of this shard is writing into {}; wait for it, or give each its own --shard",
        path.display()
    )]
    Busy {
        /// The output folder.
        path: PathBuf,
    },
    /// The folder's earlier results were made otherwise.
    #[error(
        "{} was begun with {field} {begun}, and not with {now}: results made in two ways do not belong \
         together; use another output folder",
        path.display()
    )]
    OtherSettings {
        /// The output folder.
        path: PathBuf,
        /// What differs.
        field: String,
        /// As the journal has it.
        begun: String,
        /// As it was asked for now.
        now: String,
    },
    /// A line that no kill explains.
    #[error("{}, line {line}: not a line that this version writes: {reason}", path.display())]
    Line {
        /// The journal.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    medparse_batch: u32,
    settings: Value,
}

impl Journal {
    /// Opens the journals of an output folder, or begins one, and forgets a line that was cut short.
    ///
    /// `settings` is a JSON object that says how items are asked.
    ///
    /// # Errors
    /// When another run holds this shard's journal, earlier results were made otherwise, or a file
    /// can't be used.
    pub fn open(output: &Path, shard: Shard, settings: &Value) -> Result<Self, JournalError> {
        let folder = output.join(FOLDER);
        let path = folder.join(format!("journal-{}.jsonl", shard.file_name()));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| JournalError::Io { path, error }
        };
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let mut file = open_or_make(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Busy { path: output.into() });
            }
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        let mut past = Past::default();
        for other in journals(&folder).map_err(at(&folder))? {
            if other != path {
                past.merge(read(&other, output, settings)?.past, false);
            }
        }
        let Whole { past: own, bytes, has_header } = read(&path, output, settings)?;
        past.merge(own, true);
        // What follows the last whole line was cut short by a kill.
        file.set_len(bytes).map_err(at(&path))?;
        file.seek(SeekFrom::End(0)).map_err(at(&path))?;
        let mut journal = Self { path, file, past };
        if !has_header {
            journal.line(&Header { medparse_batch: VERSION, settings: settings.clone() })?;
        }
        Ok(journal)
    }

    /// Whether an item is done, by this shard or another.
    pub fn is_done(&self, key: ItemKey) -> bool {
        self.past.done.contains_key(&key)
    }

    /// Forgets finished items for which `is_there` says no: their outputs are gone.
    pub fn keep_only(&mut self, mut is_there: impl FnMut(&Done) -> bool) {
        self.past.done.retain(|_, done| is_there(done));
    }

    /// Bytes of the common file of rows that this shard's journal speaks of.
    pub fn rows_length(&self) -> u64 {
        self.past.length
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add(&mut self, entry: Entry) -> Result<(), JournalError> {
        self.line(&entry)?;
        self.past.add(entry);
        Ok(())
    }

    /// What this shard could not do so far, by name, in their order.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        let mut failures: Vec<_> = self
            .past
            .failed
            .iter()
            .map(|(item, reason)| (item.as_str(), reason.as_str()))
            .collect();
        failures.sort_unstable();
        failures
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn sync(&self) -> Result<(), JournalError> {
        let path = self.path.clone();
        self.file.sync_data().map_err(|error| JournalError::Io { path, error })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), JournalError> {
        let refuse = |error| JournalError::Io { path: self.path.clone(), error };
        let mut line = serde_json::to_vec(value).map_err(|error| refuse(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(refuse)
    }
}

/// The journals of all shards.
fn journals(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text.starts_with("journal-") && text.ends_with(".jsonl") {
            paths.push(folder.join(&name));
        }
    }
    paths.sort();
    Ok(paths)
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::ItemKey;

    pub fn serialize<S: Serializer>(key: &ItemKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", key.0))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ItemKey, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16).map(ItemKey).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
