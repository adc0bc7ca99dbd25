//! What CLIP does to a text before it looks for words: repair, collapse white space, strip,
//! lower-case.
//!
//! The repair is that of the Python package ftfy 6.3 (Robyn Speer), which CLIP's tokenizer calls
//! where it is installed, as it is beside the reference. In its order: HTML references are undone
//! unless a `<` shows that the text is HTML; mojibake is read again in the character set it was
//! written in; C1 controls become what Windows-1252 shows for them; Latin ligatures come apart;
//! half- and full-width forms become normal; curly quotes straight; line breaks `\n`; terminal
//! escapes and stray controls go; the rest is composed (NFC); all of it again until nothing
//! changes. Three things differ on purpose: lone surrogates cannot occur in a Rust string, a line
//! of more than a million characters is not cut, and text that is wrapped more than [`LAYERS`] times
//! stays partly wrapped.

mod badness;
mod characters;
mod charmaps;
mod entities;
mod lenient_utf8;
mod mojibake;

/// How often text is unwrapped at most, so that a crafted text (`&amp;amp;amp;…`) costs no more time
/// than its length earns.
const LAYERS: usize = 64;

/// Cleans a piece of text that holds no marker.
pub(super) fn clean(text: &str) -> String {
    let repaired = repair_lines(text);
    let mut cleaned = String::with_capacity(repaired.len());
    for word in repaired.split_whitespace() {
        if !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.push_str(word);
    }
    cleaned.to_lowercase()
}

/// ftfy's `fix_text`: repairs line by line.
fn repair_lines(text: &str) -> String {
    let mut is_html = false;
    text.split_inclusive('\n')
        .map(|line| {
            // From the first `<` on, references are taken to be meant.
            is_html |= line.contains('<');
            repair_line(line, is_html)
        })
        .collect()
}

fn repair_line(line: &str, is_html: bool) -> String {
    let mut line = line.to_owned();
    for _ in 0..LAYERS {
        let unescaped = if is_html { line.clone() } else { entities::unescape(&line) };
        let repaired = characters::fix(&mojibake::repair(unescaped));
        if repaired == line {
            break;
        }
        line = repaired;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_follows_the_reference() {
        let cases = [
            ("tumor  \t core\n", "tumor core"),
            ("&lt;b&gt; &amp; x", "<b> & x"),
            ("<i>&amp;</i>\n&amp;", "<i>&amp;</i> &amp;"),
            ("&amp;amp;lt;", "<"),
            ("donâ€™t", "don't"),
            ("ÅNGSTRÖM ΌΣΟΣ", "ångström όσος"),
            ("ﬁbrosis ①", "fibrosis ①"),
            (" \u{a0}\u{3000}\u{feff}", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn layers_come_off_up_to_a_bound() {
        let nested = |layers: usize| format!("&{}lt;", "amp;".repeat(layers));
        assert_eq!(clean(&nested(LAYERS - 2)), "<");
        assert_eq!(clean(&nested(LAYERS + 9)), nested(9));
    }
}
