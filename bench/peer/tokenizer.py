"""CLIP's tokenizer (byte pairs, Sennrich et al., arXiv:1508.07909) for phrases in plain letters."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import regex

MERGES = Path(__file__).resolve().parents[2] / "crates" / "medparse" / "data" / "clip_merges.txt"
START_OF_TEXT, END_OF_TEXT = 49_406, 49_407
CONTEXT_LENGTH = 77
END_OF_WORD = "</w>"

_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")


def encode(text: str) -> list[int]:
    """The ids of a phrase, both markers included, at most 77 of them."""
    ids = [index for word in _WORD.findall(" ".join(text.lower().split())) for index in _word_ids(word)]
    return [START_OF_TEXT, *ids[: CONTEXT_LENGTH - 2], END_OF_TEXT]


def batch(texts: list[str]) -> tuple[np.ndarray, list[int]]:
    """Ids `[n, T]` of phrases, padded to the longest with the end marker, and the length of each."""
    rows = [encode(text) for text in texts]
    lengths = [len(row) for row in rows]
    padded = [row + [END_OF_TEXT] * (max(lengths) - len(row)) for row in rows]
    return np.array(padded, np.int64), lengths


def _word_ids(word: str) -> list[int]:
    symbols, ranks, ids = _tables()
    parts = [symbols[byte] for byte in word.encode()]
    parts[-1] += END_OF_WORD
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        at = pairs.index(best)
        parts[at : at + 2] = ["".join(best)]
    return [ids[part] for part in parts]


@cache
def _tables() -> tuple[list[str], dict[tuple[str, str], int], dict[str, int]]:
    """The symbol of each byte, the rank of each merge, the id of each symbol."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    # Bytes without a printable sign of their own are written as those from 256 on.
    sign = {byte: chr(byte) for byte in shown} | {byte: chr(256 + index) for index, byte in enumerate(hidden)}
    merges = [tuple(line.split(" ")) for line in MERGES.read_text().splitlines()]
    alphabet = [sign[byte] for byte in shown + hidden]
    vocabulary = alphabet + [letter + END_OF_WORD for letter in alphabet] + ["".join(pair) for pair in merges]
    return (
        [sign[byte] for byte in range(256)],
        {(pair[0], pair[1]): rank for rank, pair in enumerate(merges)},
        {symbol: index for index, symbol in enumerate(vocabulary)},
    )
