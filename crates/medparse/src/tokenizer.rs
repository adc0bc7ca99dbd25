//! CLIP's tokenizer: a phrase becomes the ids that the text encoder was trained on.
//!
//! The ids are those of Hugging Face's `CLIPTokenizer` with ftfy installed, which the reference
//! uses: markers first, then cleaning, words, byte pairs.

mod bpe;
mod cleaning;

use std::sync::LazyLock;

use regex::Regex;

use bpe::BytePairs;

/// How many ids the text encoder takes at most, both markers included.
pub const CONTEXT_LENGTH: usize = 77;
/// The id that every text begins with.
pub const START_OF_TEXT: u32 = 49_406;
/// The id that every text ends with, and that fills up the rest of the context.
pub const END_OF_TEXT: u32 = 49_407;

/// The markers as they may stand in a text itself.
const MARKERS: [(&str, u32); 2] =
    [("<|startoftext|>", START_OF_TEXT), ("<|endoftext|>", END_OF_TEXT)];

static BYTE_PAIRS: LazyLock<BytePairs> = LazyLock::new(BytePairs::new);

/// Words: markers, English endings, runs of letters, single digits, runs of anything else but
/// blanks.
///
/// U+0345 belongs to no word: it is no letter, yet the reference's expression, which ignores case
/// throughout, takes it for one when it looks for anything else, since it folds to an iota.
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\u{345}]+",
    )
    .expect("a valid expression")
});

/// Turns text into CLIP's ids. Making one is free; the vocabulary is read once per process, on
/// first use.
///
/// ```
/// use medparse::tokenizer::Tokenizer;
///
/// let tokens = Tokenizer::new().encode("Neoplastic cells");
/// assert_eq!(tokens.ids(), [49406, 557, 36270, 1561, 8890, 49407]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokenizer;

/// The ids of one text, from [`START_OF_TEXT`] to [`END_OF_TEXT`]: 2 to [`CONTEXT_LENGTH`] of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    truncated: bool,
}

impl Tokenizer {
    /// CLIP's tokenizer with its vocabulary of 49,408 ids.
    pub fn new() -> Self {
        Self
    }

    /// The ids of `text`, which is cleaned first; any text is valid, the empty one included.
    ///
    /// A text of more than [`CONTEXT_LENGTH`] ids loses its end, as in the reference: the start
    /// marker, the first 75 ids and the end marker remain, and [`Tokens::is_truncated`] says so.
    pub fn encode(&self, text: &str) -> Tokens {
        let mut ids = vec![START_OF_TEXT];
        let mut rest = text;
        // Markers split the raw text, and each part between them is cleaned by itself.
        while ids.len() < CONTEXT_LENGTH && !rest.is_empty() {
            let (part, marker, after) = split_at_marker(rest);
            encode_part(&cleaning::clean(part), &mut ids);
            ids.extend(marker);
            rest = after;
        }
        let truncated = ids.len() >= CONTEXT_LENGTH;
        ids.truncate(CONTEXT_LENGTH - 1);
        ids.push(END_OF_TEXT);
        Tokens { ids, truncated }
    }
}

impl Tokens {
    /// The ids, both markers included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Whether the text was longer than the context and lost its end.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The ids filled up with [`END_OF_TEXT`], as the text encoder takes them when it runs the
    /// whole context.
    pub fn padded(&self) -> [u32; CONTEXT_LENGTH] {
        let mut padded = [END_OF_TEXT; CONTEXT_LENGTH];
        for (slot, &id) in padded.iter_mut().zip(&self.ids) {
            *slot = id;
        }
        padded
    }
}

/// What comes before the first marker of `text`, the marker's id, and what comes after it.
fn split_at_marker(text: &str) -> (&str, Option<u32>, &str) {
    MARKERS
        .iter()
        .filter_map(|&(marker, id)| {
            text.split_once(marker).map(|(part, after)| (part, Some(id), after))
        })
        .min_by_key(|(part, _, _)| part.len())
        .unwrap_or((text, None, ""))
}

/// Appends the ids of clean text, stopping once there are more than fit.
fn encode_part(text: &str, ids: &mut Vec<u32>) {
    for word in WORD.find_iter(text) {
        if ids.len() >= CONTEXT_LENGTH {
            return;
        }
        // Capitals or character references hide a marker from the first split, but not from this
        // one.
        match MARKERS.iter().find(|(marker, _)| *marker == word.as_str()) {
            Some(&(_, id)) => ids.push(id),
            None => BYTE_PAIRS.encode(word.as_str(), ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_in_the_text_are_markers() {
        let cases: [(&str, &[u32]); 5] = [
            ("<|endoftext|> x", &[49406, 49407, 343, 49407]),
            ("!<|ENDOFTEXT|>", &[49406, 0, 27, 347, 40786, 4160, 91, 285, 49407]),
            ("a!<|endoftext|>b", &[49406, 320, 256, 49407, 321, 49407]),
            ("&lt;|endoftext|&gt;", &[49406, 49407, 49407]),
            // A long s is an s to the ending 's, though not to the vocabulary.
            ("'ſt", &[49406, 6, 129, 379, 339, 49407]),
        ];
        for (text, expected) in cases {
            assert_eq!(Tokenizer::new().encode(text).ids(), expected, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let exactly_full = Tokenizer::new().encode(&"word ".repeat(75));
        assert_eq!(exactly_full.ids().len(), CONTEXT_LENGTH);
        assert!(!exactly_full.is_truncated());
        let cut = Tokenizer::new().encode(&"word ".repeat(76));
        assert_eq!(cut.ids(), exactly_full.ids());
        assert!(cut.is_truncated());
    }

    #[test]
    fn padding_repeats_the_end() {
        let padded = Tokenizer::new().encode("liver").padded();
        assert_eq!(padded[..4], [START_OF_TEXT, 12_639, END_OF_TEXT, END_OF_TEXT]);
        assert_eq!(padded[76], END_OF_TEXT);
    }
}
