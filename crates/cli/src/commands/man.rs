//! `medparse man`: manual pages, made of the same words as `--help`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::output::say;

/// Writes a page for the command and each of its verbs.
pub fn run(command: clap::Command, folder: &Path) -> Result<ExitCode> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    say(&format!("manual pages in {0}; see man -l {0}/medparse.1", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
