"""The network as the two graphs that a service would export: one for the picture, one for the question.

Shapes are fixed: one picture, these phrases, no padding between them, and nothing computed that the answer does not
need but the heads of the layers, which make the attention masks.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import Network, similarity

OPSET = 18


class Vision(nn.Module):
    """The picture's graph."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[1, 3, S, S]` → mask features and the three levels."""
        mask_features, levels = self.network.encode_image(image)
        return mask_features, levels[0], levels[1], levels[2]


class Question(nn.Module):
    """The phrases' graph: text encoder, query decoder, the choice of queries, masks at the picture's own size."""

    def __init__(self, network: Network, lengths: list[int], size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.lengths = lengths
        self.size = size

    def forward(
        self, mask_features: Tensor, level_0: Tensor, level_1: Tensor, level_2: Tensor, ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Probabilities `[n, H, W]` and matched queries `[n]`; `ids` is `[n, T]`, padded."""
        tokens = self.network.encode_text(ids)
        rows = [tokens[index, :length] for index, length in enumerate(self.lengths)]
        last = self.network.decode(mask_features, [level_0, level_1, level_2], torch.cat(rows)[None])[-1]
        sentences = torch.stack([row[-1] for row in rows])
        matched = similarity(last.class_embed[0], sentences, self.network.logit_scale).argmax(0)
        logits = last.masks[0].index_select(0, matched)
        width, height = self.size
        resized = F.interpolate(logits[None], (height, width), mode="bilinear", align_corners=False)
        return resized[0].sigmoid(), matched


def export(network: Network, ids: Tensor, lengths: list[int], size: tuple[int, int], folder: Path) -> None:
    """Writes `vision.onnx` and `question.onnx` with their weights into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    side = network.config.image_size
    image = torch.zeros(1, 3, side, side)
    with torch.inference_mode():
        encoded = Vision(network)(image)
    for name, module, inputs in (
        ("vision", Vision(network), (image,)),
        ("question", Question(network, lengths, size), (*(part.clone() for part in encoded), ids)),
    ):
        torch.onnx.export(
            module.eval(),
            inputs,
            folder / f"{name}.onnx",
            opset_version=OPSET,
            dynamo=True,
            external_data=True,
            optimize=True,
            verbose=False,
        )
