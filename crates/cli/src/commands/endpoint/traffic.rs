//! Percentages as people write them: `blue=90,green=10`.

use std::collections::BTreeMap;
use std::str::FromStr;

/// Percentages by deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic(pub BTreeMap<String, u8>);

impl FromStr for Traffic {
    type Err = String;

    /// Reads `NAME=PERCENT,…`; `none` stands for no traffic at all.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = BTreeMap::new();
        if text == "none" {
            return Ok(Self(shares));
        }
        for part in text.split(',') {
            let wrong = || format!("{part:?} is not NAME=PERCENT, as in blue=90,green=10");
            let (name, percent) = part.split_once('=').ok_or_else(wrong)?;
            let (name, percent) = (name.trim(), percent.trim().trim_end_matches('%'));
            let percent: u8 = percent.parse().map_err(|_| wrong())?;
            if name.is_empty() || percent > 100 {
                return Err(wrong());
            }
            if shares.insert(name.to_owned(), percent).is_some() {
                return Err(format!("{name} is named twice"));
            }
        }
        Ok(Self(shares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_or_refused() {
        let read = |text: &str| text.parse::<Traffic>().map(|Traffic(shares)| shares);
        let expected = BTreeMap::from([("blue".to_owned(), 90), ("green".to_owned(), 10)]);
        assert_eq!(read("blue=90,green=10").unwrap(), expected);
        assert_eq!(read("blue=90%, green=10%").unwrap(), expected);
        assert!(read("none").unwrap().is_empty());
        for wrong in ["", "blue", "blue=", "=5", "blue=101", "blue=-1", "a=1,a=2", "a=1,"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
