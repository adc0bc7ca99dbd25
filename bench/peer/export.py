"""Writes a model's ONNX graphs, in a process of its own.

python -m peer.export '{"model": …, "graphs": …, "picture": …, "prompts": […]}'
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from . import checkpoint, graphs, picture, tokenizer


def main() -> None:
    """Exports what the JSON of the first argument asks for."""
    asked = json.loads(sys.argv[1])
    network = checkpoint.load(Path(asked["model"]), checkpoint.read_config(Path(asked["model"])))
    ids, lengths = tokenizer.batch(asked["prompts"])
    size = picture.decode(Path(asked["picture"])).size
    folder = Path(asked["graphs"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The graphs appear under their name only when both are complete.
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        graphs.export(network, torch.from_numpy(ids), lengths, size, Path(unfinished) / "graphs")
        (Path(unfinished) / "graphs").rename(folder)


if __name__ == "__main__":
    main()
