//! How far a server confines itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use medparse::ModelSource;
use medparse::sources::hub::HubOptions;
use medparse_server::Store;
use tempfile::TempDir;

use crate::confinement::{Confinement, Needs, confine};

/// What the server may do on its machine.
#[derive(Args)]
#[command(next_help_heading = "Confinement")]
pub struct ConfiningOptions {
    /// Let the kernel keep the server from writing outside its folders (state, audit log, caches), from opening
    /// connections and from starting programs.
    ///
    /// Linux with Landlock (5.13 and later; connections from 6.7) does that. `medparse ui`, which starts a browser,
    /// is not confined.
    #[arg(long, default_value = "auto", env = "MEDPARSE_CONFINE", value_name = "HOW")]
    confine: How,
    /// Let deployments that are made later name `hub:` models that have to be fetched. A server that has such a model
    /// at its start, or is given one with --model, may open connections anyway.
    #[arg(long, env = "MEDPARSE_CONNECT", value_parser = clap::builder::FalseyValueParser::new())]
    connect: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// As far as the kernel can.
    Auto,
    /// Wholly, or do not start.
    Require,
    /// Not at all.
    Off,
}

/// A server that has been confined, or not.
pub struct Confined {
    /// Whether a model that has to be fetched can be.
    pub connects: bool,
    /// Where a series that is sent is unpacked; gone with the server.
    _scratch: Option<TempDir>,
}

/// What is known of the server before it starts.
pub struct Outset<'a> {
    pub store: &'a Store,
    pub sources: &'a [ModelSource],
    pub port: u16,
    /// Files outside the state that are written, such as the audit log.
    pub files: &'a [&'a Path],
    /// Whether an issuer of tokens is asked for its keys.
    pub asks_issuer: bool,
}

impl ConfiningOptions {
    /// Confines the process; no other thread may be there yet.
    ///
    /// # Errors
    /// When the kernel refuses, or can't do it and must.
    pub fn confine(&self, outset: &Outset<'_>) -> Result<Confined> {
        let connects = self.connect || outset.asks_issuer || names_hub_models(outset)?;
        if self.confine == How::Off {
            tracing::info!("not confined, as --confine off says");
            return Ok(Confined { connects: true, _scratch: None });
        }
        let mut folders = vec![outset.store.folder().to_owned()];
        // Within the state: of a folder elsewhere, the server could not remove the last.
        let scratch = tempfile::Builder::new().prefix("scratch-").tempdir_in(outset.store.folder());
        let scratch = scratch.context("cannot make a folder for temporary files in the state")?;
        // Where another one was named before, that one is kept, and refuses.
        let _ = tempfile::env::override_temp_dir(scratch.path());
        folders.extend(outset.files.iter().map(|file| folder_of(file)));
        folders.extend(made(medparse::cache_folder()));
        if connects {
            folders.extend(made(HubOptions::from_env().ok().map(|options| options.cache)));
        }
        let needs = Needs { folders, port: outset.port, connections: connects };
        match confine(&needs)? {
            Confinement::Full => tracing::info!(connections = connects, "confined by the kernel"),
            Confinement::Partial if self.confine == How::Require => {
                bail!(
                    "this kernel can't confine a server wholly, as --confine require asks: it takes Linux 6.12"
                )
            }
            Confinement::None if self.confine == How::Require => {
                bail!(
                    "this system can't confine a server, as --confine require asks: it takes Linux with Landlock"
                )
            }
            Confinement::Partial => tracing::warn!(
                "confined by the kernel in part: it is too old to bar connections or signals"
            ),
            Confinement::None => tracing::warn!("not confined: this system has no Landlock"),
        }
        Ok(Confined { connects, _scratch: Some(scratch) })
    }
}

/// Whether a model that the server is to load lies at the hub.
fn names_hub_models(outset: &Outset<'_>) -> Result<bool> {
    let named = outset.sources.iter().any(|source| matches!(source, ModelSource::Hub(_)));
    let document = outset.store.read()?;
    let mut deployments =
        document.endpoints.values().flat_map(|endpoint| endpoint.deployments.values());
    Ok(named || deployments.any(|deployment| deployment.model.starts_with("hub:")))
}

/// The folder that holds a file.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A folder that is made now, as its parents can't be written later; none where that fails.
fn made(folder: Option<PathBuf>) -> Option<PathBuf> {
    folder.filter(|folder| std::fs::create_dir_all(folder).is_ok())
}
