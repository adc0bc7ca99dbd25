//! Spans of time as people write them.

use std::time::Duration;

use jiff::SignedDuration;
use medparse_server::admin::parse_lifetime;

/// Reads a lifetime such as `168h` or `90d`.
pub fn lifetime(text: &str) -> Result<SignedDuration, String> {
    parse_lifetime(text).map_err(|error| error.to_string())
}

/// Reads a time to wait, such as `30s` or `5m`.
pub fn wait(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time; expected one such as 30s, 5m or 1h");
    let time = parse_lifetime(text).map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}
