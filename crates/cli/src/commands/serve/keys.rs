//! Keys that come from outside.

use std::env::{self, VarError};

use anyhow::{Result, bail, ensure};
use medparse_server::SecretText;

/// The variable that holds them. There is no such flag: other users of a machine see command lines.
pub const VARIABLE: &str = "MEDPARSE_KEYS";

/// A shorter key can be guessed; it is taken with a warning.
const GOOD_LENGTH: usize = 16;

/// The primary and the secondary scoring key of the environment, or none.
///
/// # Errors
/// When they cannot be sent in a header, or are too many.
pub fn given_keys() -> Result<Vec<SecretText>> {
    match env::var(VARIABLE) {
        Ok(text) => parse(&text),
        Err(VarError::NotPresent) => Ok(Vec::new()),
        Err(VarError::NotUnicode(_)) => bail!("{VARIABLE} is not Unicode"),
    }
}

fn parse(text: &str) -> Result<Vec<SecretText>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = text.split(',').map(str::trim).collect();
    ensure!(
        keys.len() <= 2,
        "{VARIABLE} holds {} keys; expected PRIMARY or PRIMARY,SECONDARY",
        keys.len()
    );
    for (key, place) in keys.iter().zip(["primary", "secondary"]) {
        ensure!(!key.is_empty(), "{VARIABLE}: the {place} key is empty");
        ensure!(
            key.bytes().all(|byte| byte.is_ascii_graphic()),
            "{VARIABLE}: the {place} key holds a character that a header cannot carry; \
             expected visible ASCII without blanks"
        );
        if key.len() < GOOD_LENGTH {
            tracing::warn!(
                key = place,
                "the key has fewer than {GOOD_LENGTH} characters and can be guessed"
            );
        }
    }
    Ok(keys.into_iter().map(SecretText::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_two_keys_are_read_and_no_others() {
        let read = |text| parse(text).map(|keys| keys.len());
        assert_eq!(read("").unwrap(), 0);
        assert_eq!(read("one-long-enough-key").unwrap(), 1);
        assert_eq!(read("primary, secondary").unwrap(), 2);
        for wrong in ["a,b,c", "a,", ",b", "a b", "schlüssel"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.starts_with(VARIABLE) && !error.contains(wrong), "{error}");
        }
    }
}
