//! Many pictures: lists of them, a journal of what is done, and workers in between.
//!
//! ```text
//! Manifest ──items──▶ run ──▶ workers ──outcomes, one at a time──▶ files, then Journal
//! ```
//!
//! A run may be killed at any point. What it did is what its [`Journal`] says: an item's line is
//! written after its outputs are, so that the same run, started again, does the rest. Outputs under
//! names of their own are replaced whole; rows of a common file beyond the journal's word are cut off
//! again ([`AppendedFile`]). So every item is there once.
//!
//! This crate knows neither models nor the command line.

mod appended;
mod item;
mod journal;
pub mod manifest;
mod run;
mod shard;

pub use appended::{AppendError, AppendedFile};
pub use item::{Image, ImageFault, Item, ItemKey, NameFault};
pub use journal::{Done, Entry, Journal, JournalError, Outcome};
pub use manifest::{Manifest, ManifestError};
pub use run::{Finished, Verdict, run};
pub use shard::{Shard, ShardError};
