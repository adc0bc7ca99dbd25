//! The flag of every verb that works on a server's state.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use medparse_server::Store;

/// Which state.
#[derive(Args)]
#[command(next_help_heading = "State")]
pub struct StateOptions {
    /// Folder of endpoints, deployments and keys; `medparse` in the user's data folder by default.
    #[arg(long, env = "MEDPARSE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
}

impl StateOptions {
    /// Opens the state, making its folder where it is not there.
    pub fn open(&self) -> Result<Store> {
        let folder = match &self.state {
            Some(folder) => folder.clone(),
            None => dirs::data_dir()
                .context("this user has no data folder; name one with --state")?
                .join("medparse"),
        };
        // Commands that are printed name the folder wherever they are pasted.
        let folder = std::path::absolute(&folder)
            .with_context(|| format!("cannot find the folder {}", folder.display()))?;
        Ok(Store::open(folder)?)
    }
}
