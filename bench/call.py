#!/usr/bin/env python3
"""What a call from Python takes over the library's own call: the package's pixels in, its arrays out.

    python bench/call.py --picture examples/nuclei.png -p nuclei
    python bench/call.py --picture examples/nuclei.png -p nuclei --model full.safetensors --calls 9

Every call is measured twice at once: by a clock around `model.segment`, and by the library's clock inside it, around
the Rust call that does the work. Both see the same picture, decoded already, and the same other work on the machine, so
the ratio of a call is its own; the median over calls is what counts. Needs a Python with the package.
"""

from __future__ import annotations

import argparse
import statistics
import time

import medparse

from peer.others import Others, sentence


def overheads(model: medparse.Model, picture: object, prompts: list[str], calls: int) -> list[tuple[float, float]]:
    """Seconds of each call as Python sees it and as the library does, after two that do not count."""
    seen = []
    for number in range(calls + 2):
        begun = time.perf_counter()
        answers = model.segment(picture, prompts)
        whole = time.perf_counter() - begun
        if number >= 2:
            seen.append((whole, answers.seconds))
    return seen


def main() -> None:
    """Measures, and prints a line for each form of the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", required=True)
    parser.add_argument("-p", "--prompt", action="append", required=True, help="a phrase; several by several -p")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int, help="of the model's own; all cores where not given")
    parser.add_argument("--calls", type=int, default=200)
    given = parser.parse_args()

    model = medparse.load(given.model, precision=given.precision, threads=given.threads)
    pixels = medparse.read(given.picture).picture().numpy()
    watch = Others()
    print(f"{model}, {pixels.shape[1]} × {pixels.shape[0]} px, {len(given.prompt)} phrases, {given.calls} calls each")
    for form, picture in [("colours", pixels), ("grays", pixels[:, :, 0].copy())]:
        seen = overheads(model, picture, given.prompt, given.calls)
        share = statistics.median((whole - inner) / inner for whole, inner in seen)
        added = statistics.median(whole - inner for whole, inner in seen)
        inner = statistics.median(inner for _, inner in seen)
        print(f"{form}: the library {1e3 * inner:.2f} ms, Python {1e3 * added:.3f} ms more, {share:.2%}")
    print(sentence(watch.cores()))


if __name__ == "__main__":
    main()
