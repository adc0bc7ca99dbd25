"""The reference's own numbers: reading them, and how near ours must come."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[2]
TINY = PROJECT / "testdata" / "tiny"
REFERENCE = Path(os.environ.get("MEDPARSE_REFERENCE_DIR", PROJECT.parent / "shared"))
FULL = REFERENCE / "golden" / "full"

FLOORS = 10.0
"""How many rounding floors a stage may be away (see crates/parity).

A floor is the reference's f32 run against its f64 run. Another order of summation rounds differently by the same
amount, and rounding adds up along the network.
"""

UNIT_ROUNDOFF = float(np.finfo(np.float32).eps) / 2

UNDECIDED = 1e-4
"""How far from one half a probability may lie whose pixel falls on the other side."""


@dataclass(frozen=True)
class Case:
    """One run of the reference: its tensors, their shapes and encodings, and the floors of each stage."""

    tensors: dict[str, np.ndarray]
    about: dict[str, Any]
    floors: dict[str, dict[str, float]]

    @staticmethod
    def read(folder: Path, name: str) -> Case:
        """Reads `case_<name>` of a folder of golden data."""
        return Case(
            load_file(folder / f"case_{name}.safetensors"),
            json.loads((folder / f"case_{name}.json").read_text()),
            json.loads((folder / "noise_f32_vs_f64.json").read_text()),
        )

    def bits(self, stage: str) -> np.ndarray:
        """A tensor of truth values, in its own shape."""
        shape = self.about["tensors"][stage]["shape"]
        count = int(np.prod(shape))
        return np.unpackbits(self.tensors[stage].reshape(-1))[:count].astype(bool).reshape(shape)

    def sampled(self, stage: str, ours: np.ndarray) -> np.ndarray:
        """Those of our values that the reference kept."""
        about = self.about["tensors"][stage]
        assert ours.size == np.prod(about["shape"]), f"{stage} is {ours.shape}; expected {about['shape']}"
        return ours.reshape(-1)[:: about.get("stride", 1)]

    def assert_close(self, stage: str, ours: np.ndarray) -> None:
        """Fails, naming the stage, where ours is further than `FLOORS` rounding floors away."""
        expected = self.tensors[stage].reshape(-1).astype(np.float64)
        difference = self.sampled(stage, ours).astype(np.float64) - expected
        rms = float(np.sqrt((difference**2).mean() / (expected**2).mean())) if difference.any() else 0.0
        largest = float(np.abs(difference).max())
        floor = self.floors[stage]
        rms_floor = max(floor["rms_rel"], UNIT_ROUNDOFF)
        largest_floor = max(floor["max_abs"], UNIT_ROUNDOFF * float(np.abs(expected).max()))
        assert rms <= FLOORS * rms_floor, f"{stage}: relative rms {rms:.2e} is {rms / rms_floor:.1f} floors"
        assert largest <= FLOORS * largest_floor, (
            f"{stage}: the largest difference {largest:.2e} is {largest / largest_floor:.1f} floors"
        )
