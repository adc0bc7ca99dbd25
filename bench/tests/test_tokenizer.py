"""The tokenizer against ids that the reference's made."""

from __future__ import annotations

import json

from peer import tokenizer
from tests.golden import PROJECT


def test_phrases() -> None:
    cases = json.loads((PROJECT / "testdata" / "extra" / "tokenizer.json").read_text())
    # Phrases that need ftfy's repairs or hold markup are medparse's business, not a benchmark's.
    plain = [case for case in cases if case["text"].isascii() and not set(case["text"]) & set("&<")]
    assert len(plain) > 10
    for case in plain:
        assert tokenizer.encode(case["text"]) == case["ids"][: case["n"]], case["text"]
