//! What is done, kept: the common file of rows, where there is one, and the journal that speaks of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use medparse_batch::{AppendedFile, Entry, Finished, ItemKey, Journal, Outcome, Shard};
use serde_json::Value;

use super::workshop::{Made, report_of};
use super::{Form, part_name};

/// How long what is done may be in the system's memory only.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// What this run and those before it did.
pub struct Records {
    journal: Journal,
    /// None where each picture has files of its own.
    rows: Option<AppendedFile>,
    synced: Instant,
}

impl Records {
    /// Opens what earlier runs left in `output`; pictures whose files are gone count as not done.
    ///
    /// # Errors
    /// When another run writes there, what is there was made with other `settings`, or can't be used.
    pub fn open(output: &Path, shard: Shard, form: Form, settings: &Value) -> Result<Self> {
        let mut journal = Journal::open(output, shard, settings)?;
        let rows = match form {
            Form::Files => {
                journal.keep_only(|done| report_of(output, &done.item).is_file());
                None
            }
            Form::Predictions => {
                let path = output.join(part_name("predictions", shard, "csv"));
                Some(AppendedFile::open(&path, journal.rows_length())?)
            }
        };
        Ok(Self { journal, rows, synced: Instant::now() })
    }

    /// Whether an item is done, by this shard or another.
    pub fn is_done(&self, key: ItemKey) -> bool {
        self.journal.is_done(key)
    }

    /// What this shard could not do so far, by name, with the reasons.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        self.journal.failures()
    }

    /// Keeps what came of an item, its row first.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add(&mut self, finished: Finished<Made>) -> Result<()> {
        let outcome = match finished.outcome {
            Ok(Made::Files) => Outcome::Done { length: None },
            Ok(Made::Masks(masks)) => {
                let row = masks.row(&finished.label)?;
                let length = self.rows.as_mut().map(|rows| rows.append(&row)).transpose()?;
                Outcome::Done { length }
            }
            Err(reason) => Outcome::Failed { reason },
        };
        self.journal.add(Entry {
            item: finished.item,
            key: finished.key,
            outcome,
            seconds: finished.took.as_secs_f64(),
        })?;
        if self.synced.elapsed() > SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn sync(&mut self) -> Result<()> {
        self.rows.as_ref().map_or(Ok(()), AppendedFile::sync)?;
        self.journal.sync()?;
        self.synced = Instant::now();
        Ok(())
    }
}
