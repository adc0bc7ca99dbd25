use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use super::AdminError;

/// Reads a lifetime: `168h`, `90d`, `2 weeks`, or ISO 8601 such as `PT30M`; a day has 24 hours.
///
/// # Errors
/// When it cannot be read or is not above zero.
pub fn parse_lifetime(text: &str) -> Result<SignedDuration, AdminError> {
    let wrong = || AdminError::Lifetime(text.to_owned());
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if duration <= SignedDuration::ZERO {
        return Err(wrong());
    }
    Ok(duration)
}

/// The end of a lifetime that begins now.
pub(super) fn add(now: Timestamp, lifetime: SignedDuration) -> Result<Timestamp, AdminError> {
    now.checked_add(lifetime).map_err(|_| AdminError::Lifetime(lifetime.to_string()))
}
