"""What `reproduce` makes of a document's old and new figures, and `regression` of rounds."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

BENCH = Path(__file__).resolve().parents[1]


def script(name: str) -> ModuleType:
    """A script without an ending, as a module."""
    spec = spec_from_loader(name, SourceFileLoader(name, str(BENCH / name)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_numbers_are_held_beside_each_other_where_the_words_are_the_same() -> None:
    reproduce = script("reproduce")
    before = "# Rates\n\n| f32 | 2 | 4.0 | 1,000 |\n| old row | 1 |\nDice 0.5 [0.4, 0.6], 3e-06\n"
    after = "# Rates\n\n| f32 | 2 | 5.0 | 1,000 |\nDice 0.5 [0.4, 0.6], 6e-06\na new line\n"
    changes, words = reproduce.compare(before, after)
    different = [(change.label, change.old, change.new) for change in changes if change.old != change.new]
    assert different == [("f32", 4.0, 5.0), ("Dice 0.5 [0.4, 0.6], 3e-06", 3e-06, 6e-06)]
    assert changes[1].label == "f32"
    assert [change.ratio for change in changes if change.old != change.new] == pytest.approx([1.25, 2])
    assert words == ["- | old row | 1 |", "+ a new line"]


def test_a_number_that_becomes_zero_changed_most() -> None:
    change = script("reproduce").Change("x", 3.0, 0.0)
    assert change.ratio == 0
    assert change.distance == float("inf")


def test_only_what_is_beyond_noise_is_slower() -> None:
    regression = script("regression")

    def contestant(*seconds: float) -> SimpleNamespace:
        return SimpleNamespace(took={"request, wall": list(seconds)})

    quiet = contestant(1.0, 1.01, 0.99, 1.0, 1.0), contestant(1.0, 1.0, 1.0, 1.01, 0.99)
    [slower] = regression.changes(*quiet, contestant(1.2, 1.2, 1.2, 1.2, 1.2))
    assert slower.ratio == pytest.approx(1.2)
    assert slower.is_slower(0.03)
    [same] = regression.changes(*quiet, contestant(1.01, 1.02, 1.0, 1.01, 1.01))
    assert not same.is_slower(0.03)
    noisy = contestant(1.0, 1.0, 1.0, 1.0, 1.0), contestant(0.6, 1.5, 1.0, 1.4, 0.7)
    [chance] = regression.changes(*noisy, contestant(1.2, 1.2, 1.2, 1.2, 1.2))
    assert not chance.is_slower(0.03)
