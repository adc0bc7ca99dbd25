"""Writes figures that no program writes by itself. `bench/reproduce` calls it, and shows old figures beside new.

    python figures.py card     # models/MODEL_CARD.md: the bundled model on the reference pictures
    python figures.py readme   # README.md: how fast the engine is, from docs/benchmarks.json and docs/engine.json
    python figures.py unit     # docs/security.md: how exposed the systemd unit is
    python figures.py build    # README.md: a cold build of the program, in minutes and seconds

The reference pictures are looked for in MEDPARSE_REFERENCE_DIR (default ../shared beside the project).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("MEDPARSE_REFERENCE_DIR", PROJECT.parent / "shared"))
MEDPARSE = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")) / "release" / "medparse"
BEGIN, END = "<!-- figures: written by bench/figures.py -->", "<!-- end of figures -->"


def main() -> None:
    """Writes what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=STEPS)
    parser.add_argument("--medparse", type=Path, default=MEDPARSE)
    options = parser.parse_args()
    for name in options.what:
        STEPS[name](options.medparse.resolve())


def card(program: Path) -> None:
    """Evaluates the bundled model and fills in its card."""
    said = run(
        program, "evaluate", REFERENCE / "images", "--model", PROJECT / "models" / "medparse-small.safetensors",
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


def readme(_: Path) -> None:
    """Tells in the README how fast the engine is, as the documents' own figures say."""
    beside = json.loads((PROJECT / "docs" / "benchmarks.json").read_text())
    alone = json.loads((PROJECT / "docs" / "engine.json").read_text())
    seconds = {
        precision: statistics.median(answers[f"medparse {precision}"]["total_ms"] for answers in beside["rounds"]) / 1e3
        for precision in ("f32", "int8")
    }
    ratios = beside["ratios"]["medparse f32"]
    second = alone["requests"]["found"]["f32"]["second_ms"] / 1e3
    fill(
        PROJECT / "README.md",
        "takes @ s in f32 on two cores of an Intel server, @ of OpenVINO's time, @ of ONNX Runtime's and @ of "
        "PyTorch's; @ s in int8; a second question about the same picture @ s",
        f"{seconds['f32']:.1f}",
        *(f"{ratios[f'{name} f32']:.2f}" for name in ("openvino", "onnxruntime", "pytorch")),
        f"{seconds['int8']:.1f}",
        f"{second:.1f}",
    )


def unit(_: Path) -> None:
    """Asks systemd how exposed the unit is."""
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", PROJECT / "deploy" / "medparse.service")
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", said)
    if found is None:
        raise SystemExit("systemd-analyze names no exposure level")
    fill(PROJECT / "docs" / "security.md", "`systemd-analyze security` rates it @ of 10", found[1])


def build(_: Path) -> None:
    """Builds the program from nothing, sources fetched before."""
    run("cargo", "fetch", "--locked")
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        run("cargo", "build", "--release", "--locked", env={**os.environ, "CARGO_TARGET_DIR": folder})
        seconds = round(time.monotonic() - begun)
    minutes, rest = divmod(seconds, 60)
    fill(
        PROJECT / "README.md",
        "A cold release build of the program takes @ min @ s on two cores",
        str(minutes),
        str(rest),
    )


def fill(document: Path, sentence: str, *numbers: str) -> None:
    """Puts numbers into a sentence, in which `@` stands for each; its line breaks may be anywhere."""
    words = [re.escape(part).replace("\\ ", r"\s+") for part in sentence.split("@")]
    pattern = re.compile(words[0] + "".join(rf"(\d+(?:\.\d+)?){part}" for part in words[1:]))
    text = document.read_text()
    places = list(pattern.finditer(text))
    if len(places) != 1:
        raise SystemExit(f"{document.name} has {len(places)} places that read “{sentence}”; expected one")
    place = places[0]
    for index in range(len(numbers), 0, -1):
        begin, end = place.span(index)
        text = text[:begin] + numbers[index - 1] + text[end:]
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


STEPS = {"card": card, "readme": readme, "unit": unit, "build": build}

if __name__ == "__main__":
    main()
