//! Models from the Hugging Face hub: `hub:owner/name[@revision][/path/in/repository]`.
//!
//! This is the only place in this library that opens a connection to another machine, and only when [`pull`] is called;
//! [`cached`] looks on the disk alone. What is sent: the repository's name, the revision, the file, the program's name
//! and version and, to the hub's own address and no other, the token. Nothing about pictures or prompts.
//!
//! One pull is: the repository's file list (`GET /api/models/OWNER/NAME/revision/REVISION`), which pins the revision to
//! a commit; then per file its metadata (`HEAD …/resolve/COMMIT/FILE`: `X-Repo-Commit`, `X-Linked-ETag`,
//! `X-Linked-Size`) and, unless the cache has it, its bytes. Files lie in the cache layout of Python's
//! `huggingface_hub` (`blobs`, `snapshots`, `refs`, `.locks`), so each side finds what the other fetched.
//! Protocol and layout: <https://huggingface.co/docs/huggingface_hub/en/guides/manage-cache> and
//! `huggingface_hub/file_download.py`.
//!
//! Why not the `hf-hub` crate: 1.0.0, against the server of this module's tests, began an interrupted download from
//! the first byte again, kept a file with one wrong bit as good, and asked the hub in spite of `HF_HUB_OFFLINE=1`. It
//! brings 237 crates and an asynchronous runtime; `ureq` brings 24, most of which the server needs anyway.

mod cache;
mod checksum;
mod client;
mod download;
mod endpoint;
mod error;
mod files;
mod options;
mod proxy;
mod reference;

use std::path::PathBuf;

pub use error::{HubError, TokenUse};
pub use files::ChoiceError;
pub use options::{Access, HubOptions, Retry, Timeouts, Token};
pub use proxy::Proxies;
pub use reference::{HubReference, ReferenceError};

use cache::Store;
use client::Client;
use files::{config_beside, weights_file};

/// A model file in the cache, with what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// The model file, under its own name.
    pub weights: PathBuf,
    /// The YAML configuration beside it in the repository, where there is one.
    pub config: Option<PathBuf>,
    /// The commit both belong to: 40 hexadecimal digits.
    pub commit: String,
}

/// What a pull tells while it runs; sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// The file was in the cache already.
    Cached {
        /// The file's path in the repository.
        file: &'a str,
        /// Its size.
        size: u64,
    },
    /// Another process is downloading the same file; this one waits for it.
    Waiting {
        /// The file's path in the repository.
        file: &'a str,
    },
    /// A download begins, or goes on from what an earlier one left.
    Started {
        /// The file's path in the repository.
        file: &'a str,
        /// Its size.
        size: u64,
        /// Bytes that were there before.
        resumed: u64,
    },
    /// More bytes arrived. `received` falls back to less where the server could not go on from the middle.
    Received {
        /// The file's path in the repository.
        file: &'a str,
        /// Bytes on the disk now.
        received: u64,
        /// Its size.
        size: u64,
    },
    /// The connection broke; the download goes on after a pause.
    Retrying {
        /// The file's path in the repository.
        file: &'a str,
        /// Bytes on the disk now.
        received: u64,
        /// What broke, in words.
        reason: &'a str,
    },
    /// The file is complete and its checksum right.
    Finished {
        /// The file's path in the repository.
        file: &'a str,
        /// Its size.
        size: u64,
    },
}

/// Fetches a model and its configuration into the cache, or finds them there unchanged.
///
/// The hub is asked every time, so that a moved branch is noticed; with [`Access::Offline`] this is [`cached`].
///
/// # Errors
///
/// Every [`HubError`]. After an interrupted download the next call goes on from where this one stopped.
pub fn pull(
    reference: &HubReference,
    options: &HubOptions,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Pulled, HubError> {
    if options.access == Access::Offline {
        return cached(reference, options);
    }
    let client = Client::new(options)?;
    let store = Store::new(&options.cache, reference);
    let listing = client.listing(reference)?;
    let weights = weights_file(reference, &listing.files)?;
    let config = config_beside(weights, &listing.files);

    // The small file first: whoever finds the weights finds their configuration too.
    let config = match config {
        Some(file) => Some(download::fetch(
            &client,
            &store,
            &client.file(reference, &listing, file)?,
            progress,
        )?),
        None => None,
    };
    let weights =
        download::fetch(&client, &store, &client.file(reference, &listing, weights)?, progress)?;
    store.write_ref(&reference.revision, &listing.commit)?;
    Ok(Pulled { weights, config, commit: listing.commit })
}

/// Finds a model in the cache without any connection.
///
/// # Errors
///
/// [`HubError::NotCached`] where the cache lacks it, [`HubError::Choice`] where it holds several model files and the
/// reference names none, [`HubError::Cache`] where the cache cannot be read.
pub fn cached(reference: &HubReference, options: &HubOptions) -> Result<Pulled, HubError> {
    let store = Store::new(&options.cache, reference);
    let missing =
        || HubError::NotCached { reference: reference.to_string(), cache: options.cache.clone() };
    let commit = store.read_ref(&reference.revision)?.ok_or_else(missing)?;
    let files = store.snapshot_files(&commit)?;
    if files.is_empty() {
        return Err(missing());
    }
    let weights = match weights_file(reference, &files) {
        Err(ChoiceError::NotThere { .. } | ChoiceError::NoModel { .. }) => return Err(missing()),
        chosen => chosen?,
    };
    Ok(Pulled {
        weights: store.snapshot(&commit, weights),
        config: config_beside(weights, &files).map(|file| store.snapshot(&commit, file)),
        commit,
    })
}
