#!/usr/bin/env python3
"""Kills `medparse batch` with SIGKILL at random moments and holds what it leaves against a run that nobody touched.

    crates/cli/tests/kill.py PROGRAM [--pictures 2000] [--kills 5] [--seed N]

Two runs are killed: pictures in files, and pictures inside a manifest whose rows go into one predictions.csv. Each must
end with every output once, none torn, none but those wanted, the same masks as the run in peace, and one line of the
journal that calls an item done. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import base64
import collections
import csv
import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

TINY = Path(__file__).resolve().parents[3] / "testdata" / "tiny" / "tiny.pt"
PHRASES = "liver & spleen"
ENDINGS = [".json", "__liver.png", "__spleen.png"]


def png(seed: int, side: int = 32) -> bytes:
    """A gray picture of bright discs on dark ground."""
    chance = random.Random(seed)
    discs = [(chance.randrange(side), chance.randrange(side), chance.randrange(3, 9)) for _ in range(4)]
    rows = bytearray()
    for y in range(side):
        rows.append(0)
        for x in range(side):
            inside = any((x - a) ** 2 + (y - b) ** 2 < r * r for a, b, r in discs)
            rows.append((190 if inside else 30) + chance.randrange(20))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Batch:
    """One command, to be run until it says that all is done."""

    def __init__(self, program: str, source: Path, output: Path) -> None:
        self.output = output
        model = ["--model", str(TINY), "--image-size", "64"]
        self.command = [program, "batch", str(source), "-o", str(output), "-p", PHRASES, *model]

    def finish(self) -> str:
        """Runs to the end; what it says."""
        ended = subprocess.run(self.command, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise SystemExit(f"exit {ended.returncode}: {ended.stderr[-2000:]}")
        return ended.stdout.strip()

    def done(self) -> collections.Counter[str]:
        """How often the journals call each item done; what a kill cut short is no line."""
        counts: collections.Counter[str] = collections.Counter()
        for journal in self.output.glob(".medparse-batch/journal-*.jsonl"):
            for line in journal.read_bytes().split(b"\n")[1:-1]:
                entry = json.loads(line)
                counts[entry["item"]] += entry["outcome"] == "done"
        return counts

    def kill(self, after: int) -> int:
        """Kills it at a random moment after `after` items are done; how many are done then."""
        running = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.done().total() < after:
            if running.poll() is not None:
                raise SystemExit(f"it ended before it could be killed, with {running.returncode}")
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.2))
        running.send_signal(signal.SIGKILL)
        running.wait()
        return self.done().total()


def killed(batch: Batch, pictures: int, kills: int) -> None:
    """Kills a run `kills` times and lets it end."""
    moments = [batch.kill(after=pictures * (at + 1) // (kills + 1)) for at in range(kills)]
    said = batch.finish()
    print(f"killed when {', '.join(map(str, moments))} were done; then: {said}", flush=True)
    counts = batch.done()
    assert len(counts) == pictures, f"{len(counts)} items in the journal"
    twice = [item for item, count in counts.items() if count != 1]
    assert not twice, f"done more than once: {twice[:5]}"


def files(output: Path) -> dict[str, bytes]:
    """All results; the journal and its folder are left out."""
    found = (path for path in output.rglob("*") if path.is_file())
    relative = {path.relative_to(output): path for path in found}
    return {str(name): path.read_bytes() for name, path in relative.items() if name.parts[0] != ".medparse-batch"}


def hold_files(output: Path, in_peace: dict[str, bytes], names: list[str]) -> None:
    """Every file of every picture, whole; the masks those of the run in peace."""
    left = files(output)
    wanted = {name + ending for name in names for ending in ENDINGS}
    assert set(left) == wanted, f"not wanted or missing: {sorted(set(left) ^ wanted)[:5]}"
    for name, content in left.items():
        if name.endswith(".json"):
            json.loads(content)
        else:
            assert content == in_peace[name], f"{name} is another mask"


def hold_rows(output: Path, in_peace: Path, pictures: int) -> None:
    """Every row once, in whatever order, each that of the run in peace."""
    csv.field_size_limit(1 << 30)

    def rows(folder: Path) -> list[list[str]]:
        with open(folder / "predictions.csv", newline="") as file:
            return list(csv.reader(file))

    left = rows(output)
    assert len(left) == pictures, f"{len(left)} rows"
    assert sorted(left) == sorted(rows(in_peace)), "rows differ from the run in peace"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    random.seed(given.seed)
    program = str(Path(given.program).resolve())
    print(f"{given.pictures} pictures, {given.kills} kills, --seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        names = [f"day{at % 7}/scan{at:05}" for at in range(given.pictures)]
        manifest = here / "list.csv"
        with open(manifest, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["", "image", "text"])
            for at, name in enumerate(names):
                path = here / "scans" / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(at))
                table.writerow([at, base64.b64encode(path.read_bytes()).decode(), PHRASES])

        print(Batch(program, here / "scans", here / "peace").finish(), flush=True)
        by_file = Batch(program, here / "scans", here / "killed")
        killed(by_file, given.pictures, given.kills)
        hold_files(by_file.output, files(here / "peace"), names)
        print(f"{len(ENDINGS) * given.pictures} files, each once, none torn", flush=True)

        print(Batch(program, manifest, here / "peace-rows").finish(), flush=True)
        by_row = Batch(program, manifest, here / "killed-rows")
        killed(by_row, given.pictures, given.kills)
        hold_rows(by_row.output, here / "peace-rows", given.pictures)
        print(f"{given.pictures} rows, each once, none torn", flush=True)


if __name__ == "__main__":
    sys.exit(main())
