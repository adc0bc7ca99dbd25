"""Steps of `medparse train` on pictures made for it: discs on noise, two prompts a picture."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

TARGETS = ("nucleus", "polyp")
BATCHES = 2
"""Batches in the data set, gone through as often as the steps need."""


def seconds_per_step(program: Path, pictures: int, side: int, steps: int, threads: int) -> list[float]:
    """Seconds of each step after the first, the reading and changing of its pictures included."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_pictures(root / "data", BATCHES * pictures, side)
        (root / "run.yaml").write_text(description(root, pictures, side, steps + 1))
        command = [str(program), "train", str(root / "run.yaml"), "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"medparse train ended with status {done.returncode}: {done.stderr.strip()}")
        lines = [json.loads(line) for line in (root / "run" / "log.jsonl").read_text().splitlines()]
    found = [line["seconds"] for line in lines if line["kind"] == "step"]
    if len(found) != steps + 1:
        raise SystemExit(f"medparse train logged {len(found)} steps, expected {steps + 1}")
    return found[1:]


def description(root: Path, pictures: int, side: int, steps: int) -> str:
    """The run: fresh weights of medparse-small, nothing set aside, nothing measured."""
    return (
        f"data: {root / 'data'}\noutput: {root / 'run'}\nnetwork: small\nimage_size: {side}\n"
        f"batch_size: {pictures}\nepochs: {steps / BATCHES}\n"
        "prompts: {at_most: 2}\n"
        "checks: {validation_fraction: 0, evaluate_every: 1000000, save_every: 1000000}\n"
    )


def write_pictures(root: Path, count: int, side: int) -> None:
    """Folders as BiomedParse's, a picture and two masks each."""
    random = np.random.default_rng(0)
    for name in ("train", "train_mask"):
        (root / name).mkdir(parents=True)
    rows, columns = np.mgrid[:side, :side]
    for index in range(count):
        pixels = random.integers(0, 128, (side, side, 3), dtype=np.uint8)
        for target in TARGETS:
            row, column, radius = random.uniform((0.2, 0.2, 0.05), (0.8, 0.8, 0.2)) * side
            disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            pixels[disc] += 96
            mask = Image.fromarray((disc * 255).astype(np.uint8))
            mask.save(root / "train_mask" / f"{index}_endoscopy_colon_{target}.png")
        Image.fromarray(pixels).save(root / "train" / f"{index}_endoscopy_colon.png")
