//! HTML character references (`&lt;`, `&#181;`), undone as ftfy 6.3 undoes them.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::charmaps::windows_1252_of_control;

static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").expect("a valid expression"));

/// HTML 5's named references that end in a semicolon, `&` and `;` included, and what they stand
/// for.
///
/// A lower-case name is also taken in capitals (`&EACUTE;`, for a table somebody wrote in
/// capitals), unless a browser would already read those capitals as something else.
static NAMED: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let standard: HashMap<&str, &str> =
        entities::ENTITIES.iter().map(|entity| (entity.entity, entity.characters)).collect();
    let mut named = HashMap::new();
    for (&name, &characters) in standard.iter().filter(|(name, _)| name.ends_with(';')) {
        named.insert(name.to_owned(), characters.to_owned());
        let capitals = name.to_ascii_uppercase();
        // A browser decodes the longest prefix that is a name without its semicolon: `&LTIMES;` is
        // `<IMES;`.
        let taken = (3..=capitals.len()).any(|length| standard.contains_key(&capitals[..length]));
        if name == name.to_ascii_lowercase() && !taken {
            named.insert(capitals, characters.to_uppercase());
        }
    }
    named
});

/// `text` with every unambiguous character reference replaced.
pub(super) fn unescape(text: &str) -> String {
    REFERENCE
        .replace_all(text, |found: &Captures| {
            let reference = &found[0];
            let decoded = match reference.strip_prefix("&#") {
                Some(number) => numeric(number.trim_end_matches(';')),
                None => NAMED.get(reference).cloned(),
            };
            decoded.unwrap_or_else(|| reference.to_owned())
        })
        .into_owned()
}

/// The character with a number as in `&#NUMBER;` (HTML standard, numeric character reference end
/// state), or `None` where the reference is to stay as it is.
fn numeric(number: &str) -> Option<String> {
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    // Too many digits for the type are too many for Unicode as well.
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    let decoded = match code {
        0x0D => "\r".to_owned(),
        // ftfy takes a semicolon in the outcome for a reference read in part, and leaves it.
        0x3B => return None,
        0x80..=0x9F => char::from_u32(code).and_then(windows_1252_of_control).map(String::from)?,
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0xFDD0..=0xFDEF => String::new(),
        _ if code <= 0x10_FFFF && code & 0xFFFE == 0xFFFE => String::new(),
        0 => String::from(char::REPLACEMENT_CHARACTER),
        _ => String::from(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
    };
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_undone() {
        let cases = [
            ("&lt;b&gt; &amp; x", "<b> & x"),
            ("P&eacute;rez, P&EACUTE;REZ, &nTILDE;", "Pérez, PÉREZ, &nTILDE;"),
            ("BUNDESSTRA&SZLIG;E", "BUNDESSTRASSE"),
            ("&LTIMES; &ltimes;", "&LTIMES; ⋉"),
            ("&amp without a semicolon", "&amp without a semicolon"),
            ("&#181;m &#xB5;m &#XB5;m", "µm µm µm"),
            ("&#128; &#x9D;", "€ \u{9d}"),
            ("&#0; &#xD800; &#x110000;", "\u{fffd} \u{fffd} \u{fffd}"),
            ("&#99999999999999999999;", "\u{fffd}"),
            ("&#1;&#xFFFE;&#x1FFFF;", ""),
            ("&#59; &#12ab; &#x; &#xZ;", "&#59; &#12ab; &#x; &#xZ;"),
        ];
        for (text, expected) in cases {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }
}
