"""The whole network, under the checkpoint's names.

Legend: B pictures, S their side, n sentences, T positions or grounding tokens, Q object queries, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .config import NetworkConfig
from .pixel_decoder import PixelDecoder
from .query_decoder import Heads, QueryDecoder

LARGEST_SCALE = 100.0
"""CLIP's cap on the factor of similarities."""

NORM_EPSILON = 1e-7
"""Added to a norm before dividing by it; outside the square root."""


class SemSegHead(nn.Module):
    """The pixel decoder and the query decoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.pixel_decoder = PixelDecoder(config)
        self.predictor = QueryDecoder(config)


class Network(nn.Module):
    """Everything before the decoder depends on the picture alone, so one encoding serves many questions."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone)
        self.sem_seg_head = SemSegHead(config)

    def encode_image(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Mask features and levels (see `PixelDecoder`) of normalised pictures `[B, 3, S, S]`."""
        return self.sem_seg_head.pixel_decoder(self.backbone(image))

    def encode_text(self, ids: Tensor) -> Tensor:
        """Token rows `[n, T, C]` of token ids `[n, T]`."""
        return self.sem_seg_head.predictor.lang_encoder(ids)

    def decode(
        self, mask_features: Tensor, levels: list[Tensor], tokens: Tensor, is_token: Tensor | None = None
    ) -> list[Heads]:
        """The heads before any layer and after each (see `QueryDecoder`)."""
        return self.sem_seg_head.predictor(mask_features, levels, tokens, is_token)

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of the factor on similarities, a scalar."""
        return self.sem_seg_head.predictor.lang_encoder.logit_scale


def normalized(x: Tensor) -> Tensor:
    """Rows of `[…, C]` over their lengths."""
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + NORM_EPSILON)


def similarity(class_embed: Tensor, sentences: Tensor, logit_scale: Tensor) -> Tensor:
    """`[Q, n]`: how alike each query `[Q, C]` and each sentence `[n, C]` are, scaled."""
    scale = logit_scale.exp().clamp(max=LARGEST_SCALE)
    return scale * (normalized(class_embed) @ normalized(sentences).T)
