"""Measures medparse against PyTorch, ONNX Runtime and OpenVINO: whole requests, in turns, on the same threads.

    python run.py --model full.safetensors --picture slide.png -p "neoplastic cells" -p "inflammatory cells"

Every participant is a process that keeps its model; in each round each one answers the same picture once, alone. What
counts is the median over rounds of the ratio to medparse within a round, so that a machine that slows down slows all.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from peer import checkpoint, machine, report
from peer.others import Others
from peer.participants import Medparse, Participant, Peer, Setting, packed

PROJECT = Path(__file__).resolve().parents[1]
TABLE = PROJECT / "docs" / "benchmarks.md"
EVERY = (
    "medparse:f32",
    "medparse:bf16",
    "medparse:int8",
    "pytorch:f32",
    "onnxruntime:f32",
    "openvino:f32",
    "openvino:bf16",
)


def main() -> int:
    """Exports the graphs where they are not there, runs the rounds, prints the table."""
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)  # All that is started from here stays on these.
    config = checkpoint.read_config(options.model)
    setting = Setting(
        model=options.model.resolve(),
        config=config,
        picture=options.picture.resolve(),
        prompts=options.prompt,
        threads=options.threads,
        graphs=options.graphs.resolve(),
    )
    if any(name.startswith(("onnxruntime", "openvino")) for name in options.participants):
        report.progress("exporting the graphs, where they are not there yet")
        setting.export()
    if options.prepare:
        for name in options.participants:
            kind, precision = name.split(":")
            if kind == "medparse":
                packed(setting.model, precision, options.medparse.resolve(), setting.graphs)
        return 0
    begun = time.perf_counter()
    participants: list[Participant] = []
    try:
        for name in options.participants:
            report.progress(f"starting {name}")
            kind, precision = name.split(":")
            if kind == "medparse":
                participants.append(Medparse(setting, precision, options.medparse.resolve()))
            else:
                participants.append(Peer(setting, kind, precision))
        end = begun + options.budget if options.budget else None
        rounds = measure(participants, options.rounds, options.pause, end)
        found = report.Report(
            model=options.model.name,
            picture=options.picture.name,
            prompts=options.prompt,
            image_size=config.image_size,
            threads=options.threads,
            cores=cores,
            machine=machine.describe(),
            participants={
                one.name: {"options": one.options, "start_s": one.start_s, "peak_rss": one.peak_rss()}
                for one in participants
            },
            rounds=rounds,
            command=" ".join(["python", "bench/run.py", *report.without_folders(sys.argv[1:])]),
        )
    finally:
        for one in participants:
            one.close()
    print(found.markdown())
    if options.json:
        report.write(options.json, json.dumps(found.values(), indent=1) + "\n")
    if options.write:
        report.write(TABLE, found.markdown())
        report.write(TABLE.with_suffix(".json"), json.dumps(found.values(), indent=1) + "\n")
    return 0


def measure(
    participants: list[Participant], rounds: int, pause: float, end: float | None
) -> list[dict[str, report.Answer]]:
    """The answers of every round by participant, after one round that does not count.

    The order turns by one each round, so that nobody always follows the same neighbour. After one round that counts,
    another is begun only where it will end in time, to judge by the longest so far.
    """
    found: list[dict[str, report.Answer]] = []
    longest = 0.0
    for index in range(rounds + 1):
        begun = time.perf_counter()
        if end is not None and len(found) > 1 and begun + longest > end:
            report.progress(f"no time for round {index} of {rounds}")
            break
        turn = index % len(participants)
        answers = {}
        for one in participants[turn:] + participants[:turn]:
            watch = Others()
            time.sleep(pause)
            asked = one.ask()
            answers[one.name] = report.Answer(**asked, others=watch.cores())
            name = "warm-up" if index == 0 else f"round {index} of {rounds}"
            report.progress(f"{name}: {one.name} {answers[one.name].total_ms / 1e3:.2f} s")
        found.append(answers)
        longest = max(longest, time.perf_counter() - begun)
    return found[1:]


def arguments() -> argparse.Namespace:
    """What was typed."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="safetensors file of medparse, read by all")
    parser.add_argument("--picture", type=Path, required=True, help="a PNG or JPEG file")
    parser.add_argument("-p", "--prompt", action="append", required=True, help="a phrase; several by several -p")
    parser.add_argument("--threads", type=int, default=2, help="threads and cores of each participant")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin no further round that would end later")
    parser.add_argument("--prepare", action="store_true", help="export graphs and pack weights, and measure nothing")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds of rest before each request")
    parser.add_argument("--participants", nargs="+", choices=[*EVERY, "pytorch:bf16"], default=list(EVERY))
    parser.add_argument("--medparse", type=Path, default=target / "release" / "medparse")
    parser.add_argument("--graphs", type=Path, default=target / "bench" / "graphs", help="ONNX files")
    parser.add_argument("--json", type=Path, help="write all numbers to this file too")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and .json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
