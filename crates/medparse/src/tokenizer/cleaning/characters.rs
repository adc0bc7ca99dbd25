//! Fixes of single characters: ligatures, widths, quotes, line breaks, controls (ftfy 6.3,
//! `ftfy/fixes.py`).

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::mojibake;

static TERMINAL_ESCAPE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[a-zA-Z]").expect("a valid expression"));

/// Applies every fix of single characters, then composes (NFC).
pub(super) fn fix(text: &str) -> String {
    let shown = mojibake::show_controls(text);
    let mut plain = String::with_capacity(shown.len());
    for c in shown.chars() {
        push_plain(&mut plain, c);
    }
    let broken = plain.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}'], "\n");
    let unescaped: Cow<str> = TERMINAL_ESCAPE.replace_all(&broken, "");
    unescaped.chars().filter(|c| !is_unwanted_control(*c)).nfc().collect()
}

/// Appends a character in its plain form: Latin ligatures apart, widths normal, quotes straight.
fn push_plain(text: &mut String, c: char) {
    let letters = match c {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "'n",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        '\u{3000}' => " ",
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => "'",
        '\u{201c}'..='\u{201f}' => "\"",
        // Half- and full-width forms are the only ones whose compatibility form is taken.
        '\u{ff01}'..='\u{ffef}' => return text.extend(std::iter::once(c).nfkc()),
        _ => return text.push(c),
    };
    text.push_str(letters);
}

/// Controls that nobody means to be in text (Unicode Technical Report 20); those that make white
/// space stay.
fn is_unwanted_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{b}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffc}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_become_plain() {
        let cases = [
            ("ﬂuﬃeﬆ ŉ", "fluffiest 'n"),
            ("ＬＯＵＤ\u{3000}ＮＯＩＳＥＳ ﾀ", "LOUD NOISES タ"),
            ("“quoted” ‘text’", "\"quoted\" 'text'"),
            ("a\r\nb\rc\u{2028}d\u{85}", "a\nb\nc\nd…"),
            ("\u{1b}[36;44mblue\u{1b}[0m", "blue"),
            ("\u{feff}a\0b\u{200b}c", "ab\u{200b}c"),
            ("e\u{301}", "é"),
        ];
        for (text, expected) in cases {
            assert_eq!(fix(text), expected, "{text:?}");
        }
    }
}
