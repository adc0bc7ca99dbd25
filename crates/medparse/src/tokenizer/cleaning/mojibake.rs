//! Repairs text whose UTF-8 bytes were read in a single-byte character set, as ftfy 6.3's
//! `fix_encoding` does.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex as BytesRegex;

use super::badness::is_suspicious;
use super::charmaps::{
    CHARMAPS, Charmap, CharmapName, latin_1_as_windows_1252, windows_1252_of_control,
};
use super::{LAYERS, lenient_utf8};

/// Repairs `text` step by step until nothing changes.
pub(super) fn repair(text: String) -> String {
    let mut text = text;
    for _ in 0..LAYERS {
        match repair_once(&text) {
            Some(repaired) if repaired != text => text = repaired,
            _ => break,
        }
    }
    text
}

/// One layer of repair, or `None` where nothing looks wrong or nothing helps.
fn repair_once(text: &str) -> Option<String> {
    if text.is_ascii() || !is_suspicious(text) {
        return None;
    }
    let mut fits_latin_1 = false;
    for charmap in &CHARMAPS {
        let Some(bytes) = charmap.encode(text) else {
            continue;
        };
        fits_latin_1 |= charmap.name == CharmapName::Latin1;
        if let Some(decoded) = lenient_utf8::decode(&restore_lost_bytes(bytes, charmap)) {
            return Some(decoded);
        }
    }
    let piecewise = repair_pieces(text);
    if piecewise != text {
        return Some(piecewise);
    }
    // Latin-1 with C1 controls in it was meant to be Windows-1252, if it can be.
    if fits_latin_1
        && let Some(decoded) = latin_1_as_windows_1252(text).filter(|decoded| decoded != text)
    {
        return Some(decoded);
    }
    Some(show_controls(text))
}

/// C1 controls replaced by what Windows-1252 shows for them, as browsers do.
pub(super) fn show_controls(text: &str) -> String {
    text.chars().map(|c| windows_1252_of_control(c).unwrap_or(c)).collect()
}

/// Bytes that would be UTF-8 if a no-break space (0xA0) had not become a plain one.
static LOST_NO_BREAK_SPACE: LazyLock<BytesRegex> = LazyLock::new(|| {
    BytesRegex::new(concat!(
        r"(?s-u)[\xc2\xc3\xc5\xce\xd0\xd9]\x20",
        r"|[\xe2\xe3]\x20[\x80-\x84\x86-\x9f\xa1-\xbf]",
        r"|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf]\x20",
        r"|\xf0\x20[\x80-\xbf][\x80-\xbf]",
        r"|\xf0[\x80-\xbf]\x20[\x80-\xbf]",
        r"|\xf0[\x80-\xbf][\x80-\xbf]\x20",
    ))
    .expect("a valid expression")
});

/// UTF-8 sequences in which a byte was lost: 0x1A stands where a decoder wrote U+FFFD, `?` where it
/// wrote that.
static LOST_BYTE: LazyLock<BytesRegex> = LazyLock::new(|| {
    BytesRegex::new(concat!(
        r"(?s-u)[\xc2-\xdf]\x1a",
        r"|[\xc2-\xc3]\?",
        r"|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
        r"|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
        r"|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
        r"|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
        r"|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]",
        r"|\x1a",
    ))
    .expect("a valid expression")
});

/// Puts back what careless programs lost: no-break spaces, and a replacement character for unknown
/// bytes.
fn restore_lost_bytes(bytes: Vec<u8>, charmap: &Charmap) -> Vec<u8> {
    let mut bytes = bytes;
    // In Mac Roman the pattern is an en dash before a space, which is ordinary text.
    if charmap.name != CharmapName::MacRoman && LOST_NO_BREAK_SPACE.is_match(&bytes) {
        bytes = LOST_NO_BREAK_SPACE
            .replace_all(&separate_a_grave(&bytes), |found: &regex::bytes::Captures| {
                found[0]
                    .iter()
                    .map(|&byte| if byte == b' ' { 0xA0 } else { byte })
                    .collect::<Vec<_>>()
            })
            .into_owned();
    }
    if charmap.is_lenient() {
        bytes = LOST_BYTE.replace_all(&bytes, "\u{fffd}".as_bytes()).into_owned();
    }
    bytes
}

/// Keeps the space after a lone `à` ("Ã la mode" is "à la mode"), except where Portuguese writes on
/// ("àquele").
fn separate_a_grave(bytes: &[u8]) -> Vec<u8> {
    const CONTINUATIONS: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut separated = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        separated.push(byte);
        rest = after;
        if byte == 0xC3
            && let Some(next) = after.strip_prefix(b" ")
            && !CONTINUATIONS.iter().any(|word| next.starts_with(word))
        {
            separated.extend(b"\xa0 ");
            rest = next;
        }
    }
    separated
}

/// The roles that a character can play when UTF-8 was read in one of the Latin-like sets.
struct Clues {
    first_of_two: HashSet<char>,
    first_of_three: HashSet<char>,
    first_of_four: HashSet<char>,
    continuation: HashSet<char>,
    /// Continuations that do not stand for themselves next to mojibake: no dash, quote, bullet or
    /// ellipsis.
    strict_continuation: HashSet<char>,
}

static CLUES: LazyLock<Clues> = LazyLock::new(|| {
    let latin_like = || {
        CHARMAPS
            .iter()
            .filter(|charmap| charmap.is_latin_like())
            .flat_map(|charmap| (0x80..=0xFF_u8).zip(charmap.upper_half()))
    };
    let shown = |bytes: &[std::ops::RangeInclusive<u8>]| -> HashSet<char> {
        latin_like()
            .filter(|(byte, _)| bytes.iter().any(|range| range.contains(byte)))
            .map(|(_, c)| c)
            .collect()
    };
    let mut continuation = shown(&[0x80..=0xBF]);
    let mut strict_continuation = continuation.clone();
    strict_continuation.retain(|c| !"–—―‘’‚“”„•…".contains(*c));
    // A space may have been a no-break space (0xA0).
    continuation.insert(' ');
    Clues {
        first_of_two: shown(&[0xC2..=0xDF]),
        first_of_three: shown(&[0xE0..=0xEF]),
        // Sequences with other first bytes lead to code points nobody uses.
        first_of_four: shown(&[0xF0..=0xF0, 0xF3..=0xF3]),
        continuation,
        strict_continuation,
    }
});

impl Clues {
    /// How many characters of `text` look like one UTF-8 sequence, or 0.
    fn sequence(&self, text: &[char]) -> usize {
        let length = match text.first() {
            Some(c) if self.first_of_two.contains(c) => 2,
            Some(c) if self.first_of_three.contains(c) => 3,
            Some(c) if self.first_of_four.contains(c) => 4,
            _ => return 0,
        };
        match text.get(1..length) {
            Some(tail) if tail.iter().all(|c| self.continuation.contains(c)) => length,
            _ => 0,
        }
    }
}

/// Repairs stretches that look like UTF-8 each by itself, for text glued together from several
/// sources.
fn repair_pieces(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut repaired = String::with_capacity(text.len());
    let mut position = 0;
    while position < characters.len() {
        let after_clue =
            position > 0 && CLUES.strict_continuation.contains(&characters[position - 1]);
        let mut end = position;
        while !after_clue || end > position {
            match CLUES.sequence(&characters[end..]) {
                0 => break,
                length => end += length,
            }
        }
        if end == position {
            repaired.push(characters[position]);
            position += 1;
            continue;
        }
        let piece: String = characters[position..end].iter().collect();
        // A piece that is the whole text was tried already, and would come back here for ever.
        if end - position < characters.len() && is_suspicious(&piece) {
            repaired.push_str(&repair(piece));
        } else {
            repaired.push_str(&piece);
        }
        position = end;
    }
    repaired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misread_text_is_repaired() {
        let cases = [
            ("donâ€™t", "don’t"),
            ("sÃ³", "só"),
            ("voilÃ le travail", "voilà le travail"),
            ("Ã la mode", "à la mode"),
            ("â€œ like this â€\u{fffd}", "“ like this \u{fffd}"),
            ("Ã¢â‚¬Å“twiceÃ¢â‚¬\u{9d}", "“twice”"),
            ("ð\u{9f}\u{92}\u{a9}", "💩"),
            ("liver", "liver"),
            ("naïve", "naïve"),
        ];
        for (text, expected) in cases {
            assert_eq!(repair(text.to_owned()), expected, "{text:?}");
        }
    }

    #[test]
    fn only_the_bad_piece_of_a_text_is_touched() {
        assert_eq!(repair("肺 cÃ©lula".to_owned()), "肺 célula");
    }
}
