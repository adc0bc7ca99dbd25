//! How much is taken, and how long is waited.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use medparse_server::{Capacity, Limits, Timeouts};

use crate::lifetimes::wait;

/// How much is computed, kept and waited for.
#[derive(Args)]
#[command(next_help_heading = "Capacity")]
pub struct CapacityOptions {
    /// Rows computed at once; one already uses every core.
    #[arg(long, default_value = "1", env = "MEDPARSE_SLOTS", value_name = "N")]
    slots: NonZeroUsize,
    /// Requests that may wait beside those computed; further ones get 429.
    #[arg(long, default_value = "32", env = "MEDPARSE_WAITING", value_name = "N")]
    waiting: usize,
    /// Largest body that is accepted, in MiB, after decompression.
    #[arg(long, default_value = "32", env = "MEDPARSE_MAX_BODY", value_parser = mebibytes, value_name = "MIB")]
    max_body: usize,
    /// Largest picture that is accepted, in millions of pixels (2^20).
    #[arg(long, default_value = "32", env = "MEDPARSE_MAX_PIXELS", value_parser = mebibytes, value_name = "MP")]
    max_pixels: usize,
    /// Memory for all bodies and waiting pictures together, in MiB; whoever comes when it is used
    /// up gets 429.
    #[arg(long, default_value = "1024", env = "MEDPARSE_MAX_MEMORY", value_parser = mebibytes, value_name = "MIB")]
    max_memory: usize,
    /// Memory for encoded pictures that are kept for the next question, in MiB.
    #[arg(long, default_value = "1024", env = "MEDPARSE_ENCODINGS", value_parser = mebibytes, value_name = "MIB")]
    encodings: usize,
    /// For one row, waiting included; then 504.
    #[arg(long, default_value = "300s", env = "MEDPARSE_ROW_TIMEOUT", value_parser = wait, value_name = "TIME")]
    row_timeout: Duration,
    /// For a whole body; then 503.
    #[arg(long, default_value = "120s", env = "MEDPARSE_BODY_TIMEOUT", value_parser = wait, value_name = "TIME")]
    body_timeout: Duration,
    /// For a request to begin; then the idle connection is closed.
    #[arg(long, default_value = "30s", env = "MEDPARSE_IDLE_TIMEOUT", value_parser = wait, value_name = "TIME")]
    idle_timeout: Duration,
    /// For accepted requests after the signal to stop.
    #[arg(long, default_value = "300s", env = "MEDPARSE_SHUTDOWN_TIMEOUT", value_parser = wait, value_name = "TIME")]
    shutdown_timeout: Duration,
}

/// A number of binary millions, as bytes or pixels.
fn mebibytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a whole number above zero");
    let count: usize = text.parse().map_err(|_| wrong())?;
    count.checked_mul(1 << 20).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

impl CapacityOptions {
    /// How much is computed at once.
    pub fn capacity(&self) -> Capacity {
        Capacity { slots: self.slots.get(), waiting: self.waiting, ..Capacity::default() }
    }

    /// Bounds on what is sent. A picture may fill a body, and unfolds to no more than 16 bytes a pixel.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits {
            body_bytes: self.max_body,
            memory_bytes: self.max_memory.max(self.max_body),
            encoding_bytes: self.encodings,
            ..Limits::default()
        };
        limits.picture.max_encoded_bytes = self.max_body as _;
        limits.picture.max_pixels = self.max_pixels as _;
        limits.picture.max_decoded_bytes = self.max_pixels.saturating_mul(16) as _;
        limits
    }

    /// When waiting ends.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            row: self.row_timeout,
            body: self.body_timeout,
            head: self.idle_timeout,
            shutdown: self.shutdown_timeout,
            ..Timeouts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        capacity: CapacityOptions,
    }

    #[test]
    fn the_flags_default_to_what_the_server_defaults_to() {
        let Typed { capacity } = Typed::parse_from(["test"]);
        assert_eq!(capacity.capacity(), Capacity::default());
        assert_eq!(capacity.limits(), Limits::default());
        assert_eq!(capacity.timeouts(), Timeouts::default());
    }

    #[test]
    fn a_larger_body_may_hold_a_larger_picture() {
        let Typed { capacity } = Typed::parse_from(["test", "--max-body", "2048"]);
        let limits = capacity.limits();
        assert_eq!(limits.body_bytes, 2048 << 20);
        assert_eq!(limits.picture.max_encoded_bytes as usize, limits.body_bytes);
        assert_eq!(limits.memory_bytes, limits.body_bytes);
        assert!(Typed::try_parse_from(["test", "--max-body", "0"]).is_err());
    }
}
