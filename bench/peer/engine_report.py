"""The figures of docs/engine.md: tables from what `engine.py` found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .others import sentence
from .report import write

STAGES = {
    "backbone.res5": "last map of the backbone",
    "pixdec.mask_features": "mask features",
    "final.matched_mask_logits": "logits of the masks asked for",
    "final.pred_logits": "logits of the classes, all queries",
    "final.similarity": "similarities of queries and phrases",
    "final.prob": "probabilities at the picture's size",
}
"""What the table of errors shows, in the reference's names and in words."""


def fill(document: Path, figures: dict[str, Any]) -> None:
    """Puts each table between its two marks, `<!-- figures: NAME -->` and `<!-- end -->`."""
    text = document.read_text()
    for name, tables in TABLES.items():
        if name not in figures:
            continue
        marks = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        made = "\n".join([*tables(figures[name]["found"]), "", about(name, figures[name])])
        place = marks.search(text)
        if place is None:
            raise SystemExit(f"{document.name} has no place for the figures of `{name}`")
        text = f"{text[: place.start()]}{place[1]}\n{made}\n\n{place[2]}{text[place.end() :]}"
    write(document, text)


def about(name: str, found: dict[str, Any]) -> str:
    """Where and how the figures were found."""
    of = found["machine"]
    used = f"; {sentence(found.get('others'))}" if name in TIMED else "."
    return (
        f"`bench/engine.py {name}`: {of['processor']}, {found['threads']} threads of {of['cores']} cores, "
        f"{of['memory'] / 2**30:.0f} GiB, {of['system']}{used}"
    )


def parts(found: dict[str, Any]) -> list[str]:
    """What `medparse bench` says: a column for each precision."""
    wide = [key for key in found if not key.endswith(" on 1")]
    if not wide:
        return []
    reports = {key.split(" ")[0]: found[key] for key in wide}
    lines = ["Peak of the machine, GFLOP/s, and where the time of a request goes, in ms (share of the peak):", ""]
    lines += [f"| | {' | '.join(reports)} |", "|---|" + "---:|" * len(reports)]
    peaks = (f"{of['peak_gflops'][precision]:.0f}" for precision, of in reports.items())
    lines.append(f"| peak in this format | {' | '.join(peaks)} |")
    for name in dict.fromkeys(part["name"] for of in reports.values() for part in of["parts"]):
        lines.append(f"| {name} | {' | '.join(cell(of, name) for of in reports.values())} |")
    for key, words in {"encoding_ms": "the picture, once", "asking_ms": "a question", "request_ms": "all"}.items():
        lines.append(f"| **{words}** | {' | '.join(f'**{of[key]:.0f}**' for of in reports.values())} |")
    lines += ["", *products(reports), "", *threads(found)]
    return lines


def cell(of: dict[str, Any], name: str) -> str:
    """Milliseconds of a part, and its share of the peak."""
    part = next((part for part in of["parts"] if part["name"] == name), None)
    if part is None:
        return ""
    share = part["share_of_peak"]
    return f"{part['ms']:.0f}" + (f" ({100 * share:.0f} %)" if share else "")


def products(reports: dict[str, Any]) -> list[str]:
    """How near the parts that are products come to the peak, all together."""
    said = []
    for precision, of in reports.items():
        made = [part for part in of["parts"] if part["products"] == precision and part["gflop"]]
        time, work = sum(part["ms"] for part in made), sum(part["gflop"] for part in made)
        share = 1e3 * work / time / of["peak_gflops"][precision]
        said.append(f"{precision} {100 * share:.0f} % ({work:.0f} GFLOP in {time / 1e3:.2f} s)")
    return [f"Parts made of products in the precision itself, together: {', '.join(said)} of the peak."]


def threads(found: dict[str, Any]) -> list[str]:
    """How much faster several threads are than one."""
    said = []
    for key, alone in found.items():
        if key.endswith(" on 1"):
            precision = key.split(" ")[0]
            several = next(of for other, of in found.items() if other != key and other.startswith(f"{precision} "))
            said.append(f"{precision} {alone['request_ms'] / several['request_ms']:.2f}×")
    return [f"All threads against one, a whole request: {', '.join(said)}."] if said else []


def requests(found: dict[str, Any]) -> list[str]:
    """Requests over HTTP by precision."""
    lines = [
        "Over HTTP, weights packed beforehand, in seconds; the second question is one about a picture seen before. "
        "Peak memory is that of the process, mapped weights included, after one picture and after eight in one "
        "request.",
        "",
        "| | start | request | second question | of the first | eight pictures, each | of one alone | peak "
        "| after eight |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for precision, of in found.items():
        alone, second = of["alone_ms"], of["second_ms"]
        each = of["batch_ms"] / of["batch"] if of["batch_ms"] else None
        cells = [
            f"{of['start_s']:.2f}",
            f"{alone / 1e3:.2f}",
            f"{second / 1e3:.2f}",
            f"{100 * second / alone:.1f} %",
            f"{each / 1e3:.2f}" if each else "–",
            f"{each / alone:.2f}" if each else "–",
            f"{of['peak_rss'] / 1e9:.2f} GB",
            f"{of['batch_peak_rss'] / 1e9:.2f} GB" if each else "–",
        ]
        lines.append(f"| {precision} | {' | '.join(cells)} |")
    return lines


def masks(found: dict[str, Any]) -> list[str]:
    """Agreement of masks with those in f32."""
    lines = [
        f"The bundled model on {found['pictures']} reference pictures and their own phrases; masks against those in "
        "f32:",
        "",
        "| | masks | mean Dice | median | least | below 0.99 | empty in f32 | pixels that differ |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for precision, of in found["precisions"].items():
        lines.append(
            f"| {precision} | {of['masks']} | {of['mean_dice']:.4f} | {of['median_dice']:.4f} | {of['least_dice']:.3f} "
            f"| {of['below_0.99']} | {of['empty']} | {1e6 * of['pixels_differing']:.0f} in a million |"
        )
    return lines


def logits(found: dict[str, Any]) -> list[str]:
    """Errors against the reference, the worst of the cases."""
    lines = [
        "The full-size network with deterministic weights on the golden pictures, against the reference in f32; "
        "root mean square of the error over that of the value, the worst of the cases (the reference's attention masks "
        "led throughout):",
        "",
        f"| | {' | '.join(found)} |",
        "|---|" + "---:|" * len(found),
    ]
    for stage, words in STAGES.items():
        errors = [
            max((case["stages"][stage][0] for case in cases if stage in case["stages"]), default=None)
            for cases in found.values()
        ]
        if all(error is not None for error in errors):
            lines.append(f"| {words} | {' | '.join(f'{error:.1e}' for error in errors)} |")
    counts = [different(cases, "final.prob_gt_half") for cases in found.values()]
    lines.append(f"| pixels of the final masks that differ | {' | '.join(counts)} |")
    counts = [different(cases, "final.matched_id") for cases in found.values()]
    lines.append(f"| phrases answered by another query | {' | '.join(counts)} |")
    return lines


def different(cases: list[dict[str, Any]], stage: str) -> str:
    """How many differ, of all cases."""
    stages = [case["stages"][stage] for case in cases if stage in case["stages"]]
    return f"{sum(of['different'] for of in stages)} of {sum(of['of'] for of in stages)}"


def first(found: dict[str, Any]) -> list[str]:
    """The bundled model, the whole process."""
    said = ", ".join(f"{of['median_ms']:.0f} ms in {precision}" for precision, of in found.items())
    picture = next(iter(found.values()))["picture"]
    return [f"The bundled model, `{picture}` and two phrases, the whole process (median of seven): {said}."]


def training(found: dict[str, Any]) -> list[str]:
    """A training step, ours and PyTorch's."""
    return [
        f"A step of {found['what']}: {found['medparse_seconds_per_step']:.2f} s, the reading and changing of its "
        f"pictures included, against {found['seconds_per_step']:.2f} s in PyTorch {found['torch']}, whose batch lies "
        f"ready: {found['ratio']:.2f} of it.",
    ]


TIMED = {"parts", "requests", "first", "training"}
"""Steps whose figures are times."""

TABLES = {"parts": parts, "requests": requests, "masks": masks, "logits": logits, "first": first, "training": training}
