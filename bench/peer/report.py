"""From answers to a table: medians, ratios within rounds, agreement of masks, peak memory."""

from __future__ import annotations

import base64
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .others import DISTURBED

REFERENCES = ("pytorch f32", "onnxruntime f32", "openvino f32")
"""Whose masks the others are held against: the first of these that took part."""


@dataclass(frozen=True)
class Answer:
    """One whole request of one participant, in milliseconds, and the cores that others used meanwhile, where told."""

    total_ms: float
    vision_ms: float
    decoder_ms: float
    rest_ms: float
    masks: str
    others: float | None

    def pixels(self) -> np.ndarray:
        """All masks in one row of truth values."""
        return np.frombuffer(base64.b64decode(self.masks), np.uint8) > 0


@dataclass(frozen=True)
class Report:
    """All that was measured."""

    model: str
    picture: str
    prompts: list[str]
    image_size: int
    threads: int
    cores: list[int]
    machine: dict[str, Any]
    participants: dict[str, dict[str, Any]]
    rounds: list[dict[str, Answer]]
    command: str

    def median(self, name: str, stage: str) -> float:
        """A stage's median over rounds, in seconds."""
        return statistics.median(getattr(answers[name], stage) for answers in self.rounds) / 1e3

    def ratio(self, name: str, to: str) -> float:
        """The median over rounds of a participant's whole request over another's."""
        return statistics.median(answers[name].total_ms / answers[to].total_ms for answers in self.rounds)

    def dice(self, name: str) -> float | None:
        """Overlap of a participant's masks with the reference's; none where no reference took part."""
        reference = next((one for one in REFERENCES if one in self.participants), None)
        if reference is None:
            return None
        ours, theirs = self.rounds[-1][name].pixels(), self.rounds[-1][reference].pixels()
        both = int(ours.sum()) + int(theirs.sum())
        return 1.0 if both == 0 else 2 * int((ours & theirs).sum()) / both

    def values(self) -> dict[str, Any]:
        """Everything but the masks, for JSON."""
        found = asdict(self)
        for answers in found["rounds"]:
            for answer in answers.values():
                del answer["masks"]
        found["ratios"] = self.ratios()
        found["dice"] = {name: self.dice(name) for name in self.participants}
        return found

    def ratios(self) -> dict[str, dict[str, float]]:
        """Of each medparse to everybody else."""
        ours = [name for name in self.participants if name.startswith("medparse")]
        return {name: {other: self.ratio(name, other) for other in self.participants if other != name} for name in ours}

    def markdown(self) -> str:
        """The page."""
        about = self.machine
        lines = [
            "# Benchmarks",
            "",
            f"Written by `{self.command}`; do not edit. How it is measured, and why so: [bench](../bench/README.md).",
            "",
            f"One picture (`{self.picture}`) and {len(self.prompts)} phrases ({', '.join(self.prompts)}), a network of "
            f"{self.image_size} pixels (`{self.model}`), {self.threads} threads; {about['processor']}, "
            f"{about['cores']} cores, {about['memory'] / 2**30:.0f} GiB, {about['system']}. {self._others()}",
        ]
        lines += ["", *self._times(), "", *self._ratios(), "", *self._settings()]
        return "\n".join(lines) + "\n"

    def _others(self) -> str:
        used = [one.others for answers in self.rounds for one in answers.values() if one.others is not None]
        if not used:
            return "What other processes used meanwhile was not recorded."
        mean = statistics.mean(used)
        said = f"Other processes used {mean:.2f} cores meanwhile, {max(used):.2f} during the worst request."
        disturbed = " **So seconds are not to be trusted, and ratios hardly.**" if mean > DISTURBED else ""
        return said + disturbed

    def _times(self) -> list[str]:
        lines = [
            f"Medians of {len(self.rounds)} rounds, in seconds. A request is the picture file to masks; *rest* is "
            "decoding, resizing and the reply. Dice: masks against those of the first peer in f32.",
            "",
            "| | request | vision | decoder | rest | start | peak RSS | Dice |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, about in self.participants.items():
            times = (self.median(name, f"{stage}_ms") for stage in ("total", "vision", "decoder", "rest"))
            dice = self.dice(name)
            cells = [
                *(f"{seconds:.2f}" for seconds in times),
                f"{about['start_s']:.1f}",
                f"{about['peak_rss'] / 1e9:.2f} GB",
                "" if dice is None else f"{dice:.5f}",
            ]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return lines

    def _ratios(self) -> list[str]:
        ratios = self.ratios()
        if not ratios:
            return []
        lines = [
            "Whole requests of medparse over those of the others (median of the ratios within rounds; less than 1 is "
            "faster):",
            "",
            f"| | {' | '.join(ratios)} |",
            "|---|" + "---:|" * len(ratios),
        ]
        for other in self.participants:
            cells = (f"{of[other]:.2f}" if other in of else "" for of in ratios.values())
            lines.append(f"| over {other} | {' | '.join(cells)} |")
        return lines

    def _settings(self) -> list[str]:
        lines = ["Versions and settings:", ""]
        for name, about in self.participants.items():
            told = ", ".join(f"{key} {value}" for key, value in about["options"].items() if key != "runtime")
            lines.append(f"- {name}: {about['options']['runtime']}; {told}")
        return lines


def without_folders(arguments: list[str]) -> list[str]:
    """A command line with files by their names alone, and quotes where a shell needs them."""
    names = (Path(argument).name if "/" in argument else argument for argument in arguments)
    return [f'"{name}"' if " " in name else name for name in names]


def progress(text: str) -> None:
    """Says what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)


def write(path: Path, text: str) -> None:
    """Writes a file that appears under its name only when it is complete."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    # A temporary file is its owner's alone; what is written here is for everybody.
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
