"""Measures the engine by itself and writes the figures of docs/engine.md.

    python engine.py parts requests --model full.safetensors --picture slide.png     # times: a quiet machine
    python engine.py masks logits first                                              # no times, or one small one

`parts`     `medparse bench`: milliseconds, GFLOP/s and share of the machine's own peak, on one and on all threads.
`requests`  over HTTP: start, a whole request, a second question, a batch, the process's peak memory.
`masks`     the bundled model on the reference pictures: masks in bf16 and int8 against those in f32.
`logits`    the full-size network on the golden pictures: errors against the reference in f32, bf16 and int8.
`first`     the bundled model: one picture and two phrases, the whole process.
`training`  a training step of medparse-small beside PyTorch's (`train_step.py`).

Each step keeps what it found in docs/engine.json, beside the machine and what other processes used of it meanwhile,
and leaves the other steps' alone; the document is written from all of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from peer import checkpoint, engine_report, machine, others, report
from peer.participants import Medparse, Setting, body, packed
from peer.picture import distinct

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("MEDPARSE_REFERENCE_DIR", PROJECT.parent / "shared"))
DOCUMENT = PROJECT / "docs" / "engine.md"
FIGURES = DOCUMENT.with_suffix(".json")
PRECISIONS = ("f32", "bf16", "int8")
BATCH = 8
LARGE_CACHE_MIB = "2048"


def main() -> int:
    """Runs the steps asked for and writes the document after each."""
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)
    for name in options.steps:
        report.progress(f"== {name}")
        begun, watch = time.perf_counter(), others.Others()
        found = STEPS[name](options)
        used = watch.cores()
        figures = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {}
        figures[name] = {
            "machine": machine.describe(),
            "others": used,
            "seconds": time.perf_counter() - begun,
            "threads": options.threads,
            "found": found,
        }
        report.write(FIGURES, json.dumps(figures, indent=1) + "\n")
        engine_report.fill(DOCUMENT, figures)
        report.progress(f"{name} took {time.perf_counter() - begun:.0f} s; {others.sentence(used)}")
    return 0


def parts(options: argparse.Namespace) -> dict[str, Any]:
    """`medparse bench` of each precision, on all threads and on one."""
    found = {}
    for precision in options.precisions:
        model = packed(options.model, precision, options.medparse, options.graphs)
        for threads in (options.threads, 1) if precision in options.alone else (options.threads,):
            report.progress(f"{precision} on {threads} threads")
            repeats = options.repeats if threads > 1 else 1
            command = [options.medparse, "bench", "--model", model, "--image", options.picture, "--json"]
            command += ["--threads", threads, "--repeats", repeats, "-p", " & ".join(options.prompt)]
            found[f"{precision} on {threads}"] = json.loads(run(*command))
    return found


def requests(options: argparse.Namespace) -> dict[str, Any]:
    """Whole requests over HTTP: alone, a second question, eight pictures in one request."""
    setting = Setting(
        model=options.model,
        config=checkpoint.read_config(options.model),
        picture=options.picture,
        prompts=options.prompt,
        threads=options.threads,
        graphs=options.graphs,
    )
    return {precision: asked(setting, precision, options) for precision in options.precisions}


def asked(setting: Setting, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """The requests of one precision; every picture is another one, but for the second question's."""
    pictures = distinct(setting.picture, options.repeats + 2 + BATCH)
    server = Medparse(setting, precision, options.medparse, encodings=LARGE_CACHE_MIB)
    try:
        server.score(body([pictures.pop()], setting.prompts))
        alone, second = [], []
        for _ in range(options.repeats):
            picture = pictures.pop()
            alone.append(server.score(body([picture], setting.prompts))[0])
            second.append(server.score(body([picture], list(reversed(setting.prompts))))[0])
        report.progress(f"{precision}: alone {alone}, second question {second}")
    finally:
        server.close()
    # Another process without a cache, whose peak is that of one picture after the other.
    server = Medparse(setting, precision, options.medparse)
    try:
        server.score(server.body)
        peak_alone = server.peak_rss()
        batch = server.score(body(pictures[:BATCH], setting.prompts))[0] if precision in options.batch else None
        report.progress(f"{precision}: {BATCH} in one request {batch}")
        return {
            "start_s": server.start_s,
            "alone_ms": statistics.median(alone),
            "second_ms": statistics.median(second),
            "batch": BATCH,
            "batch_ms": batch,
            "peak_rss": peak_alone,
            "batch_peak_rss": server.peak_rss(),
        }
    finally:
        server.close()


def masks(options: argparse.Namespace) -> dict[str, Any]:
    """Masks of every reference picture and its own phrases with the bundled model, by precision."""
    model = PROJECT / "models" / "medparse-small.safetensors"
    asked_for = questions(REFERENCE / "images")
    answers = {}
    for precision in PRECISIONS:
        setting = Setting(
            model=model,
            config=checkpoint.read_config(model),
            picture=asked_for[0][0],
            prompts=asked_for[0][1],
            threads=options.threads,
            graphs=options.graphs / "bundled",
        )
        server = Medparse(setting, precision, options.medparse)
        try:
            answers[precision] = [
                decoded(server.score(body([picture.read_bytes()], prompts))[1]) for picture, prompts in asked_for
            ]
        finally:
            server.close()
        report.progress(f"{precision}: {len(asked_for)} pictures")
    return {
        "pictures": len(asked_for),
        "precisions": {
            precision: agreement(answers["f32"], answers[precision]) for precision in PRECISIONS if precision != "f32"
        },
    }


def questions(folder: Path) -> list[tuple[Path, list[str]]]:
    """The reference's PNG and JPEG pictures, each with the phrases of its own targets."""
    entries = json.loads((folder / "index.json").read_text())
    found = []
    for entry in entries:
        picture = folder / entry["image"]
        prompts = list(dict.fromkeys(target["prompt"] for target in entry.get("targets", [])))
        if picture.suffix.lower() in {".png", ".jpg", ".jpeg"} and prompts:
            found.append((picture, prompts))
    return found


def decoded(reply: bytes) -> np.ndarray:
    """The masks of a reply's first row, `[n, H * W]`."""
    features = json.loads(json.loads(reply)[0]["image_features"])
    pixels = np.frombuffer(base64.b64decode(features["data"]), np.uint8) > 0
    return pixels.reshape(features["shape"][0], -1)


def agreement(exact: list[np.ndarray], ours: list[np.ndarray]) -> dict[str, Any]:
    """Dice of masks against those in f32; two empty masks agree wholly."""
    dice, pixels, different = [], 0, 0
    for of_exact, of_ours in zip(exact, ours, strict=True):
        for a, b in zip(of_exact, of_ours, strict=True):
            both = int(a.sum()) + int(b.sum())
            dice.append(1.0 if both == 0 else 2 * int((a & b).sum()) / both)
            different += int((a ^ b).sum())
            pixels += a.size
    return {
        "masks": len(dice),
        "mean_dice": statistics.mean(dice),
        "median_dice": statistics.median(dice),
        "least_dice": min(dice),
        "below_0.99": sum(value < 0.99 for value in dice),
        "empty": sum(not a.any() for masks in exact for a in masks),
        "pixels_differing": different / pixels,
    }


def logits(options: argparse.Namespace) -> dict[str, Any]:
    """The parity suite's errors at full size, by precision."""
    found = {}
    for precision in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "errors.json"
            command = [options.parity, "--golden", REFERENCE / "golden" / "full", "--cases", "a,c,d"]
            run(*command, "--precision", precision, "--errors", file)
            found[precision] = json.loads(file.read_text())["cases"]
    return found


def first(options: argparse.Namespace) -> dict[str, Any]:
    """`medparse segment` with the bundled model, from nothing to the mask on the disk."""
    picture = next(iter(sorted((PROJECT / "examples").glob("*.png"))))
    found = {}
    for precision in PRECISIONS:
        times = []
        for _ in range(7):
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                run(
                    options.medparse, "segment", picture, "-p", "cell nuclei & neoplastic cells", "-o", folder,
                    "--threads", options.threads, "--precision", precision,
                )  # fmt: skip
                times.append(1e3 * (time.perf_counter() - begun))
        found[precision] = {"picture": picture.name, "median_ms": statistics.median(times), "times_ms": times}
    return found


def training(options: argparse.Namespace) -> dict[str, Any]:
    """`train_step.py` on the sizes that the bundled model was begun with."""
    script = Path(__file__).with_name("train_step.py")
    command = [sys.executable, script, "--threads", options.threads, "--medparse", options.medparse, "--json"]
    return json.loads(run(*command))


def run(*command: object) -> str:
    """What a command prints; what it says beside that is shown only when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=list(STEPS))
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    parser.add_argument("--model", type=Path, default=target / "bench" / "full.safetensors")
    parser.add_argument("--picture", type=Path, default=PROJECT / "testdata" / "tiny" / "picture.png")
    parser.add_argument("-p", "--prompt", action="append", help="a phrase; several by several -p")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument(
        "--batch", nargs="*", choices=PRECISIONS, default=["int8"], help="precisions whose batch is measured"
    )
    parser.add_argument(
        "--alone", nargs="*", choices=PRECISIONS, default=list(PRECISIONS), help="precisions measured on one thread too"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--medparse", type=Path, default=target / "release" / "medparse")
    parser.add_argument("--parity", type=Path, default=target / "release" / "parity")
    parser.add_argument("--graphs", type=Path, default=target / "bench" / "graphs", help="packed models")
    options = parser.parse_args()
    options.prompt = options.prompt or ["neoplastic cells", "inflammatory cells"]
    for name in ("model", "picture", "medparse", "parity", "graphs"):
        setattr(options, name, getattr(options, name).resolve())
    return options


STEPS = {"parts": parts, "requests": requests, "masks": masks, "logits": logits, "first": first, "training": training}

if __name__ == "__main__":
    sys.exit(main())
