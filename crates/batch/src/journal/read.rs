//! Reading what earlier runs wrote.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::{Done, Entry, Header, JournalError, Outcome, VERSION};
use crate::ItemKey;

/// What journals say.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What is done, by this shard or another.
    pub done: HashMap<ItemKey, Done>,
    /// What this shard could not do so far, by name, with the reasons.
    pub failed: HashMap<String, String>,
    /// Bytes of this shard's common file of rows.
    pub length: u64,
}

/// One journal, up to the last line that ends.
#[derive(Default)]
pub(super) struct Whole {
    pub past: Past,
    /// Bytes up to there.
    pub bytes: u64,
    pub has_header: bool,
}

impl Past {
    /// Adds what a line of this shard's own journal says.
    pub fn add(&mut self, entry: Entry) {
        match entry.outcome {
            Outcome::Done { length } => {
                self.length = length.unwrap_or(self.length);
                self.failed.remove(&entry.item);
                self.done.insert(entry.key, Done { item: entry.item, own: true });
            }
            Outcome::Failed { reason } => {
                self.failed.insert(entry.item, reason);
            }
        }
    }

    /// Adds what another journal says; of failures and rows only this shard's own count.
    pub fn merge(&mut self, other: Self, own: bool) {
        self.done.extend(other.done.into_iter().map(|(key, done)| (key, Done { own, ..done })));
        if own {
            self.failed = other.failed;
            self.length = other.length;
        }
    }
}

/// Reads one journal, up to the last line that ends.
pub(super) fn read(path: &Path, output: &Path, settings: &Value) -> Result<Whole, JournalError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(JournalError::Io { path: path.into(), error }),
    };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut whole = Whole { bytes: end as u64, ..Whole::default() };
    let lines = bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (line, number) in lines.zip(1..) {
        let wrong = |error: serde_json::Error| JournalError::Line {
            path: path.into(),
            line: number,
            reason: error.to_string(),
        };
        if number == 1 {
            let header: Header = serde_json::from_slice(line).map_err(wrong)?;
            check(&header, output, settings)?;
            whole.has_header = true;
            continue;
        }
        whole.past.add(serde_json::from_slice(line).map_err(wrong)?);
    }
    Ok(whole)
}

/// Refuses a folder whose results were made otherwise, and names the first thing that differs.
fn check(header: &Header, output: &Path, settings: &Value) -> Result<(), JournalError> {
    let differs = |field: &str, begun: &Value, now: &Value| JournalError::OtherSettings {
        path: output.into(),
        field: field.to_owned(),
        begun: begun.to_string(),
        now: now.to_string(),
    };
    if header.medparse_batch != VERSION {
        let (begun, now) = (header.medparse_batch.into(), VERSION.into());
        return Err(differs("journal version", &begun, &now));
    }
    let empty = serde_json::Map::new();
    let begun = header.settings.as_object().unwrap_or(&empty);
    let now = settings.as_object().unwrap_or(&empty);
    for field in begun.keys().chain(now.keys()) {
        let (begun, now) = (&header.settings[field], &settings[field]);
        if begun != now {
            return Err(differs(field, begun, now));
        }
    }
    Ok(())
}
