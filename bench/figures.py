"""Does the figures of the README and the documents anew, and shows what stood there beside what stands there now.

    python figures.py card          # models/MODEL_CARD.md: the bundled model on the reference pictures
    python figures.py parity        # docs/parity.md: every stage of the network against the reference
    python figures.py benchmarks    # docs/benchmarks.md: against PyTorch, ONNX Runtime and OpenVINO
    python figures.py build         # README.md: a cold build of the program, in minutes and seconds
    python figures.py all

The reference pictures are looked for in MEDPARSE_REFERENCE_DIR (default ../shared beside the project). What is left of
the line `-- ` on the command line goes to the benchmark: `python figures.py benchmarks -- --model full.safetensors …`.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("MEDPARSE_REFERENCE_DIR", PROJECT.parent / "shared"))
MEDPARSE = PROJECT / "target" / "release" / "medparse"
BEGIN, END = "<!-- figures: written by bench/figures.py -->", "<!-- end of figures -->"


def main() -> int:
    """Runs the steps asked for; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=[*STEPS, "all"])
    known, rest = parser.parse_known_args()
    for name in STEPS if "all" in known.what else known.what:
        print(f"== {name}", flush=True)
        document, redo = STEPS[name]
        before = document.read_text() if document.exists() else ""
        redo([word for word in rest if word != "--"])
        show(document, before)
    return 0


def show(document: Path, before: str) -> None:
    """Prints the lines of a document that changed, old ones with -, new ones with +."""
    lines = difflib.unified_diff(
        before.splitlines(), document.read_text().splitlines(), "before", "now", n=0, lineterm=""
    )
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    print("\n".join(changed) or f"{document.relative_to(PROJECT)} says what it said")


def card(_: list[str]) -> None:
    """Evaluates the bundled model and fills in its card."""
    said = run(
        MEDPARSE, "evaluate", REFERENCE / "images", "--model", PROJECT / "models" / "medparse-small.safetensors",
        "--training", REFERENCE / "train", "--json",
    )  # fmt: skip
    document = PROJECT / "models" / "MODEL_CARD.md"
    replace(document, BEGIN, END, "\n" + card_figures(json.loads(said)) + "\n")


def card_figures(found: dict[str, Any]) -> str:
    """The card's table and the sentences below it, from what `medparse evaluate --json` says."""
    rows = [row for row in found["targets"] if row["in_scope"]]
    pictures = found["pictures"]
    lines = [
        f"`medparse evaluate` on {pictures} pictures that were looked at once, for this release; each phrase asked for",
        "itself, 95 % bootstrap intervals over patients and volumes; “trivial” is the mean training mask, “volume”",
        "the Dice of whole volumes.",
        "",
        "| target | modality | n | Dice, 95 % | volume | trivial | right category |",
        "|---|---|---|---|---|---|---|",
    ]
    right, asked = 0.0, 0
    for row in rows:
        dice, volume = row["dice"], row["volume_dice"]
        category = row["category"]
        if category:
            right += category["share"] * category["n"]
            asked += category["n"]
        lines.append(
            f"| {row['target']} | {row['modality']} | {row['n']} "
            f"| {dice['mean']:.2f} [{dice['low']:.2f}, {dice['high']:.2f}] "
            f"| {mean(volume)} | {mean(row['baseline_dice'])} "
            f"| {percent(category['share']) if category else '–'} |"
        )
    presence, words = found["presence"], found["words"]
    same, other = presence["same_modality"], presence["other_modality"]
    lines += [
        "",
        f"Right category on {percent(right / max(asked, 1))} of {asked} targets. Presence, AUROC against absent things "
        "of",
        f"the same modality: {interval(same)}; of other modalities: {interval(other)}. Where a picture shows two",
        f"different things, {percent(words['follows_words'])} of the {words['n']} pairs of masks follow their words: "
        "Dice",
        f"{words['right_dice']['mean']:.2f} with the mask asked for, {words['wrong_dice']['mean']:.2f} with the other.",
        f"Expected calibration error of the pixels: {found['pixels']['ece']:.3f}.",
    ]
    return "\n".join(lines)


def parity(_: list[str]) -> None:
    """Holds every stage against the reference."""
    run("cargo", "run", "--release", "-p", "medparse-parity", "--", "--write", PROJECT / "docs" / "parity.md")


def benchmarks(options: list[str]) -> None:
    """Measures against the other runtimes."""
    run(sys.executable, PROJECT / "bench" / "run.py", "--write", *options)


def build(_: list[str]) -> None:
    """Builds the program from nothing, sources fetched before."""
    run("cargo", "fetch", "--locked")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        run("cargo", "build", "--release", "--locked", env={**os.environ, "CARGO_TARGET_DIR": folder})
        seconds = round(time.monotonic() - begun)
    document = PROJECT / "README.md"
    text, count = re.subn(
        r"(A cold release build of the program\s+took )\d+ min \d+ s( on )\w+( cores)",
        rf"\g<1>{seconds // 60} min {seconds % 60} s\g<2>{os.cpu_count()}\g<3>",
        document.read_text(),
    )
    if count != 1:
        raise SystemExit("README.md has no sentence “A cold release build of the program took …”")
    document.write_text(text)


def run(*command: object, env: dict[str, str] | None = None) -> str:
    """What a command prints; its progress goes to the terminal."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}")
    return done.stdout


def replace(document: Path, begin: str, end: str, text: str) -> None:
    """Puts `text` between two lines of a document."""
    whole = document.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        raise SystemExit(f"{document} needs the lines {begin} and {end}, once each")
    head, rest = whole.split(begin)
    document.write_text(f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def mean(dice: dict[str, Any] | None) -> str:
    """A mean Dice, or a dash."""
    return f"{dice['mean']:.2f}" if dice else "–"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.0f} %"


def interval(ranked: dict[str, Any] | None) -> str:
    """An area under the curve with its interval, or a dash."""
    return f"{ranked['auroc']:.2f} [{ranked['low']:.2f}, {ranked['high']:.2f}]" if ranked else "–"


STEPS = {
    "card": (PROJECT / "models" / "MODEL_CARD.md", card),
    "parity": (PROJECT / "docs" / "parity.md", parity),
    "benchmarks": (PROJECT / "docs" / "benchmarks.md", benchmarks),
    "build": (PROJECT / "README.md", build),
}

if __name__ == "__main__":
    sys.exit(main())
