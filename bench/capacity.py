#!/usr/bin/env python3
"""Pictures a second of `medparse batch` by cores and precision, beside the engine's own rate: docs/capacity.md.

    bench/capacity.py target/release/medparse --threads 1 2 --write
    bench/capacity.py target/release/medparse --model f32.safetensors bf16.safetensors int8.safetensors --threads 2

Several models are one for each precision, in its order: weights that `medparse model convert --packed` laid out.

The engine's own rate is that of `medparse bench` on the same model, precision and threads. Nothing else may run; the
page says so where something did. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import struct
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from peer.others import Others, sentence

WORKERS = 2
"""Pictures in hand at the same time, the command's own default."""

LEAST = 3 * WORKERS
"""Pictures of the shortest run."""

PAGE = Path(__file__).resolve().parents[1] / "docs" / "capacity.md"


@dataclass(frozen=True)
class Rate:
    """Pictures a second of the engine alone and of a whole run."""

    precision: str
    threads: int
    engine: float
    batch: float


def png(seed: int, side: int) -> bytes:
    """A noisy RGB picture: no two are alike, and none compresses to nothing."""
    chance = random.Random(seed)
    # Of each byte the four low bits: a file about as large as a real picture's.
    low = bytes(at & 15 | 96 for at in range(256))
    rows = b"".join(b"\0" + chance.randbytes(3 * side).translate(low) for _ in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def engine_rate(program: str, options: list[str], repeats: int) -> float:
    """Requests a second of the engine alone, one picture and two phrases each."""
    command = [program, "bench", "--json", "--repeats", str(repeats), *options]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return 1000 / json.loads(said.stdout)["request_ms"]


def batch_rate(program: str, options: list[str], pictures: Path, phrases: str, output: Path) -> float:
    """Pictures a second of a whole run, the loading of the model left out."""
    command = [program, "batch", str(pictures), "-o", str(output), "-p", phrases, "--json", *options]
    command += ["--workers", str(WORKERS)]
    done = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        for line in running.stdout or []:
            done.append(time.monotonic())
            entry = json.loads(line)
            if "error" in entry:
                raise SystemExit(f"{entry['item']}: {entry['error']}")
    if running.returncode or len(done) <= WORKERS:
        raise SystemExit(f"the run ended with {running.returncode} after {len(done)} pictures")
    # From each worker's first answer on: workers begin together and share the cores, so their first answers come
    # together, and the wait for them is not theirs alone.
    return (len(done) - WORKERS) / (done[-1] - done[WORKERS - 1])


def table(rates: list[Rate], machine: str) -> str:
    """The figures as Markdown."""
    lines = [
        "| precision | threads | pictures a second | seconds a picture | of the engine's own rate |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {of.precision} | {of.threads} | {of.batch:.3g} | {1 / of.batch:.3g} | {of.batch / of.engine:.0%} |"
        for of in rates
    ]
    return "\n".join([*lines, "", machine])


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else "unknown processor"


def main() -> None:
    """Measures each precision and number of threads, prints the table, writes it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", nargs="+", default=["bundled"])
    parser.add_argument("--precision", nargs="+", default=["f32", "bf16", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[os.cpu_count() or 1])
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--seconds", type=float, default=20, help="how long each run takes, about")
    parser.add_argument("--repeats", type=int, default=3, help="requests behind the engine's own rate")
    parser.add_argument("--phrases", default="nuclei & polyp")
    parser.add_argument("--write", action="store_true", help="puts the table into docs/capacity.md")
    given = parser.parse_args()

    models = given.model * len(given.precision) if len(given.model) == 1 else given.model
    if len(models) != len(given.precision):
        parser.error(f"expected one --model, or one for each of {' '.join(given.precision)}")
    program, name = str(Path(given.program).resolve()), "bundled" if models[0] == "bundled" else "full"
    watch = Others()
    rates: list[Rate] = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        made = 0
        for precision, model in zip(given.precision, models, strict=True):
            for threads in given.threads:
                options = ["--model", model, "--precision", precision, "--threads", str(threads)]
                engine = engine_rate(program, options, given.repeats)
                wanted = max(LEAST, math.ceil(engine * given.seconds))
                for at in range(made, wanted):
                    (pictures / f"p{at:05}.png").write_bytes(png(at, given.side))
                made = max(made, wanted)
                output = Path(folder) / f"{precision}-{threads}"
                batch = batch_rate(program, options, pictures, given.phrases, output)
                rates.append(Rate(precision, threads, engine, batch))
                print(f"{precision}, {threads} threads: {batch:.3g} a second, engine {engine:.3g}", flush=True)
    machine = (
        f"`bench/capacity.py`, model {Path(models[0]).name}, pictures of {given.side} × {given.side} px, two phrases: "
        f"{processor()}, {os.cpu_count()} cores; {sentence(watch.cores())}"
    )
    text = table(rates, machine)
    print(text)
    if given.write:
        marks = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = marks.subn(lambda place: f"{place[1]}\n{text}\n\n{place[2]}", PAGE.read_text())
        if count != 1:
            raise SystemExit(f"{PAGE.name} has no place for the figures of `{name}`")
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
