"""One runtime in a process of its own: answers a picture for every line on standard input.

    python -m peer.worker '{"runtime": "openvino", "precision": "bf16", …}'

Says its settings when it is ready, then, for each line it reads, how long the request took by stage, with the masks.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from . import picture, tokenizer
from .config import NetworkConfig
from .runtimes import RUNTIMES, Runtime, Task


def answer(runtime: Runtime, image: Path, config: NetworkConfig) -> dict[str, Any]:
    """A whole request: decoding, resizing, both graphs, masks; milliseconds by stage."""
    marks = [time.perf_counter()]
    pixels = picture.preprocess(picture.decode(image), config)
    marks.append(time.perf_counter())
    encoded = runtime.vision(pixels)
    marks.append(time.perf_counter())
    probability = runtime.question(encoded)
    marks.append(time.perf_counter())
    masks = picture.encode_masks(probability)
    marks.append(time.perf_counter())
    before, vision, question, after = (1e3 * (end - begin) for begin, end in pairwise(marks))
    return {
        "total_ms": 1e3 * (marks[-1] - marks[0]),
        "vision_ms": vision,
        "decoder_ms": question,
        "rest_ms": before + after,
        "masks": masks,
    }


def main() -> None:
    """Runs until standard input ends."""
    begun = time.perf_counter()
    asked = json.loads(sys.argv[1])
    image = Path(asked["picture"])
    config = NetworkConfig.from_json(asked["network"])
    ids, lengths = tokenizer.batch(asked["prompts"])
    task = Task(
        model=Path(asked["model"]),
        graphs=Path(asked["graphs"]),
        ids=ids,
        lengths=lengths,
        size=picture.decode(image).size,
        threads=asked["threads"],
        precision=asked["precision"],
    )
    runtime = RUNTIMES[asked["runtime"]](task)
    print(json.dumps({"options": runtime.options, "start_s": time.perf_counter() - begun}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(answer(runtime, image, config)), flush=True)


if __name__ == "__main__":
    main()
