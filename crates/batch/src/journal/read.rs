//! Reading what earlier runs wrote.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::{Done, Entry, Header, JournalError, Outcome, VERSION};
use crate::ItemKey;

/// What journals say.
#[derive(Default)]
pub(super) struct Past {
    pub done: HashMap<ItemKey, Done>,
    pub failed: HashMap<String, String>,
    pub length: u64,
    /// Bytes up to the end of the last whole line.
    pub whole_bytes: u64,
    pub has_header: bool,
}

impl Past {
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
pub(super) fn read(path: &Path, output: &Path, settings: &Value) -> Result<Past, JournalError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(JournalError::Io { path: path.into(), error }),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut past = Past { whole_bytes: whole as u64, ..Past::default() };
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (line, number) in lines.zip(1..) {
        let wrong = |error: serde_json::Error| JournalError::Line {
            path: path.into(),
            line: number,
            reason: error.to_string(),
        };
        if number == 1 {
            let header: Header = serde_json::from_slice(line).map_err(wrong)?;
            check(&header, output, settings)?;
            past.has_header = true;
            continue;
        }
        let entry: Entry = serde_json::from_slice(line).map_err(wrong)?;
        match entry.outcome {
            Outcome::Done { length } => {
                past.length = length.unwrap_or(past.length);
                past.failed.remove(&entry.item);
                past.done.insert(entry.key, Done { item: entry.item, own: true });
            }
            Outcome::Failed { reason } => {
                past.failed.insert(entry.item, reason);
            }
        }
    }
    Ok(past)
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
