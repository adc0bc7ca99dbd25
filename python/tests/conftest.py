"""What the tests share: pictures without patients, and the bundled model, loaded once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import medparse

PROJECT = Path(__file__).resolve().parents[2]
TINY = PROJECT / "testdata" / "tiny" / "tiny.pt"


@pytest.fixture(scope="session")
def model() -> medparse.Model:
    """The small network of the fixtures, which marks something for any phrase."""
    return medparse.load(TINY, image_size=64)


@pytest.fixture(scope="session")
def discs() -> npt.NDArray[np.uint8]:
    """Bright discs on dark ground, 60 rows of 80 pixels."""
    rows, columns = np.mgrid[:60, :80]
    gray = np.full((60, 80), 30, np.uint8)
    for x, y, radius in [(20, 20, 9), (55, 35, 12), (30, 48, 6)]:
        gray[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = 200
    return np.repeat(gray[:, :, np.newaxis], 3, axis=2)


@pytest.fixture(scope="session")
def command() -> str:
    """The `medparse` command of the same build."""
    found = os.environ.get("MEDPARSE_COMMAND") or shutil.which("medparse")
    if not found:
        pytest.skip("needs the command: put `medparse` on the PATH, or name it in MEDPARSE_COMMAND")
    return found
