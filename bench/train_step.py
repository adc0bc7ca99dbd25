"""Times one training step of medparse-small in PyTorch: forward and losses, backward, AdamW.

    python train_step.py --threads 2 --steps 5 --medparse ../target/release/medparse

With `--medparse`, steps of `medparse train` are measured as well, the reading and changing of their pictures included.

The batch is procedural: discs on noise, two prompts a picture, one in four of them for something absent. The sizes
of everything (pictures, prompts, phrases, points) are those of a step of `medparse train` at the same batch size.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from peer import machine, our_training
from peer.config import small
from peer.network import Network
from peer.training import BACKGROUND, Batch, loss

PROMPTS_PER_PICTURE = 2
ABSENT_SHARE = 0.25
CLASS_LENGTH = 8
"""Tokens of a class name inside a template, markers included."""
PHRASE_LENGTHS = (4, 11)
"""Fewest and most tokens of a phrase, markers included."""
END_OF_TEXT = 49_407
GRADIENT_CLIP = 1.0


@dataclass(frozen=True)
class StepTimes:
    """Seconds of the parts of a step, as `medparse train` reports them."""

    forward: float
    backward: float
    optimizer: float

    @property
    def total(self) -> float:
        """The whole step."""
        return self.forward + self.backward + self.optimizer


def procedural_batch(pictures: int, side: int, generator: torch.Generator) -> Batch:
    """A batch of noise with a disc per prompt."""
    prompts = pictures * PROMPTS_PER_PICTURE
    low, high = PHRASE_LENGTHS
    phrases = torch.randint(low, high + 1, (prompts,), generator=generator)
    lengths = torch.cat((torch.full((BACKGROUND + 1,), CLASS_LENGTH), phrases))
    longest = int(lengths.max())
    ids = torch.randint(300, 40_000, (len(lengths), longest), generator=generator)
    ids[torch.arange(longest)[None] >= lengths[:, None] - 1] = END_OF_TEXT
    ids[:, 0] = END_OF_TEXT - 1

    centres = torch.rand(prompts, 2, generator=generator) * side
    radii = (0.05 + 0.2 * torch.rand(prompts, generator=generator)) * side
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    distance = (rows - centres[:, 0, None, None]).square() + (columns - centres[:, 1, None, None]).square()
    mask = (distance < radii.square()[:, None, None]).float()
    mask[torch.rand(prompts, generator=generator) < ABSENT_SHARE] = 0
    return Batch(
        image=torch.randn(pictures, 3, side, side, generator=generator),
        ids=ids,
        lengths=lengths,
        picture=torch.arange(pictures).repeat_interleave(PROMPTS_PER_PICTURE),
        phrase=torch.arange(prompts) + BACKGROUND + 1,
        mask=mask,
        category=torch.randint(0, BACKGROUND, (prompts,), generator=generator),
    )


def step(network: Network, optimizer: torch.optim.Optimizer, batch: Batch) -> StepTimes:
    """Makes a step and says how long its parts took."""
    marks = [time.perf_counter()]
    optimizer.zero_grad()
    total = loss(network, batch)
    value = total.item()
    marks.append(time.perf_counter())
    total.backward()
    marks.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
    optimizer.step()
    marks.append(time.perf_counter())
    if not math.isfinite(value):
        raise RuntimeError(f"the loss is {value}")
    return StepTimes(*(after - before for before, after in pairwise(marks)))


def main() -> None:
    """Prints the machine, each step and the median, or one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads to compute with")
    parser.add_argument("--batch", type=int, default=8, help="pictures a step")
    parser.add_argument("--side", type=int, default=256, help="side of a picture in pixels, a multiple of 32")
    parser.add_argument("--steps", type=int, default=5, help="steps that count, after one that does not")
    parser.add_argument("--medparse", type=Path, metavar="PROGRAM", help="measure the steps of this program too")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = Network(replace(small(), image_size=options.side))
    fused = torch.optim.AdamW(network.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
    generator = torch.Generator().manual_seed(1)
    batch = procedural_batch(options.batch, options.side, generator)
    step(network, fused, batch)
    times = []
    for index in range(options.steps):
        times.append(step(network, fused, batch))
        if not options.json:
            done = times[-1]
            print(
                f"step {index + 1}: {done.total:.2f} s (forward and losses {done.forward:.2f}, "
                f"backward {done.backward:.2f}, AdamW {done.optimizer:.3f})",
                flush=True,
            )
    median = statistics.median(done.total for done in times)
    report: dict[str, Any] = {
        "what": f"medparse-small, batch {options.batch}, {options.side} px, f32, {options.threads} threads",
        "torch": torch.__version__,
        "seconds_per_step": median,
        "steps": [vars(done) for done in times],
        "machine": machine.describe(),
    }
    if options.medparse:
        ours = our_training.seconds_per_step(
            options.medparse.resolve(), options.batch, options.side, options.steps, options.threads
        )
        report["medparse_seconds_per_step"] = statistics.median(ours)
        report["ratio"] = statistics.median(ours) / median
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{report['what']}, torch {torch.__version__}: median {median:.2f} s a step")
        if options.medparse:
            print(f"medparse: median {statistics.median(ours):.2f} s a step, {report['ratio']:.2f} of PyTorch's")
        print(machine.sentence())


if __name__ == "__main__":
    main()
