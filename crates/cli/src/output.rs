//! Words to people and machines: standard output, standard error.

use std::io::Write as _;

use anyhow::{Context, Result};

/// Writes a line to standard output.
pub fn say(line: &str) -> Result<()> {
    write_all(format!("{line}\n").as_bytes())
}

/// Writes bytes to standard output.
pub fn write_all(bytes: &[u8]) -> Result<()> {
    std::io::stdout().lock().write_all(bytes).context("cannot write to standard output")
}

/// Writes a line to standard error; one that can't be written has no one to read it.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a value as one line of JSON to standard output.
pub fn say_json(value: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string(value)?)
}

/// Whether an error means that the reader of our output has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}
