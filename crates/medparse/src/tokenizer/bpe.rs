//! Byte-pair encoding with CLIP's vocabulary (Sennrich et al., arXiv:1508.07909; `openai/CLIP`,
//! `simple_tokenizer.py`).
//!
//! Ids 0..256 are the bytes, 256..512 the bytes that end a word, then comes one id for each merge,
//! in order of rank. So the id of a merged symbol tells its rank too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::{FxBuildHasher, FxHashMap};

/// CLIP's merges, one to a line: the two symbols that become one, the likeliest first.
const MERGES: &str = include_str!("../../data/clip_merges.txt");

/// Marks the last symbol of a word in the list of merges.
const END_OF_WORD: &str = "</w>";
const BYTES: u32 = 256;

/// The merges of the vocabulary: from a pair of neighbours to the id that replaces them.
pub(super) struct BytePairs {
    merged: FxHashMap<(u32, u32), u32>,
    id_of_byte: [u32; 256],
}

impl BytePairs {
    /// Reads the vocabulary that is built into the program.
    pub(super) fn new() -> Self {
        let capacity = MERGES.len() / 8;
        let mut ids: FxHashMap<String, u32> =
            FxHashMap::with_capacity_and_hasher(capacity, FxBuildHasher);
        let mut id_of_byte = [0; 256];
        for (id, (byte, shown)) in (0..).zip(shown_bytes()) {
            id_of_byte[usize::from(byte)] = id;
            ids.insert(shown.to_string(), id);
            ids.insert(format!("{shown}{END_OF_WORD}"), id + BYTES);
        }
        let mut merged = FxHashMap::with_capacity_and_hasher(capacity, FxBuildHasher);
        for (id, line) in (2 * BYTES..).zip(MERGES.lines()) {
            let (left, right) = line.split_once(' ').expect("a merge has two symbols");
            merged.insert((ids[left], ids[right]), id);
            ids.insert(format!("{left}{right}"), id);
        }
        Self { merged, id_of_byte }
    }

    /// Appends the ids of one word, in time `n log n` of its bytes.
    pub(super) fn encode(&self, word: &str, ids: &mut Vec<u32>) {
        let mut symbols: Vec<Symbol> = word
            .bytes()
            .enumerate()
            .map(|(index, byte)| Symbol {
                id: Some(self.id_of_byte[usize::from(byte)]),
                previous: index.checked_sub(1),
                next: (index + 1 < word.len()).then_some(index + 1),
            })
            .collect();
        if let Some(Symbol { id: Some(id), .. }) = symbols.last_mut() {
            *id += BYTES;
        }
        let mut candidates = BinaryHeap::new();
        for index in 0..symbols.len() {
            self.propose(&symbols, index, &mut candidates);
        }
        // The best-ranked pair merges first, the leftmost of equals; a merge never makes a
        // better-ranked pair.
        while let Some(Reverse((merged, left))) = candidates.pop() {
            if self.merge_at(&symbols, left) != Some(merged) {
                continue;
            }
            let Some(right) = symbols[left].next else { continue };
            symbols[left].id = Some(merged);
            symbols[left].next = symbols[right].next;
            symbols[right].id = None;
            if let Some(after) = symbols[left].next {
                symbols[after].previous = Some(left);
            }
            if let Some(before) = symbols[left].previous {
                self.propose(&symbols, before, &mut candidates);
            }
            self.propose(&symbols, left, &mut candidates);
        }
        ids.extend(symbols.iter().filter_map(|symbol| symbol.id));
    }

    fn propose(&self, symbols: &[Symbol], left: usize, candidates: &mut Candidates) {
        if let Some(merged) = self.merge_at(symbols, left) {
            candidates.push(Reverse((merged, left)));
        }
    }

    /// What the symbol at `left` and its neighbour become together.
    fn merge_at(&self, symbols: &[Symbol], left: usize) -> Option<u32> {
        let right = symbols[left].next?;
        self.merged.get(&(symbols[left].id?, symbols[right].id?)).copied()
    }
}

/// The id a merge leads to and where its left symbol is, the smallest first.
type Candidates = BinaryHeap<Reverse<(u32, usize)>>;

/// A symbol of a word, in a doubly linked list.
struct Symbol {
    /// `None` once the symbol is part of its left neighbour.
    id: Option<u32>,
    previous: Option<usize>,
    next: Option<usize>,
}

/// The bytes in the order of their ids, each with the character that shows it in the list of
/// merges: printable Latin-1 stands for itself, the others for U+0100 and following.
fn shown_bytes() -> impl Iterator<Item = (u8, char)> {
    let is_printable = |byte: &u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let printable = (0..=u8::MAX).filter(is_printable).map(|byte| (byte, char::from(byte)));
    let others = (0..=u8::MAX).filter(move |byte| !is_printable(byte));
    printable.chain(others.zip('\u{100}'..))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm as its paper has it: merge every occurrence of the best pair, again and again.
    fn encode_plainly(pairs: &BytePairs, word: &str) -> Vec<u32> {
        let mut ids: Vec<u32> =
            word.bytes().map(|byte| pairs.id_of_byte[usize::from(byte)]).collect();
        if let Some(last) = ids.last_mut() {
            *last += BYTES;
        }
        loop {
            let best =
                ids.windows(2).filter_map(|pair| pairs.merged.get(&(pair[0], pair[1]))).min();
            let Some(&best) = best else { return ids };
            let mut shorter = Vec::new();
            let mut rest = &ids[..];
            while let Some((&first, after)) = rest.split_first() {
                match after.first() {
                    Some(&second) if pairs.merged.get(&(first, second)) == Some(&best) => {
                        shorter.push(best);
                        rest = &after[1..];
                    }
                    _ => {
                        shorter.push(first);
                        rest = after;
                    }
                }
            }
            ids = shorter;
        }
    }

    #[test]
    fn the_heap_finds_what_the_plain_algorithm_finds() {
        let pairs = BytePairs::new();
        let words = [
            "",
            "a",
            "aaaaaaaaaaaaaaaaaaaaa",
            "banana",
            "mississippi",
            "!!!!!!!!!!!",
            "......",
            "肺結節",
            "hahahahahahaha",
            "donaudampfschifffahrtsgesellschaftskapitän",
            "pneumonoultramicroscopicsilicovolcanoconiosis",
        ];
        for word in words {
            let mut ids = Vec::new();
            pairs.encode(word, &mut ids);
            assert_eq!(ids, encode_plainly(&pairs, word), "{word}");
        }
    }

    #[test]
    fn the_vocabulary_is_clips() {
        assert_eq!(BytePairs::new().merged.len(), 49_408 - 2 - 2 * 256);
    }
}
