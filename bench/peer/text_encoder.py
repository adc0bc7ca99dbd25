"""The text encoder: CLIP's transformer and the projection into the space of the queries.

Legend: n sentences, T positions, W width, C width of the projection.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import MultiheadAttention
from .config import NetworkConfig, TextEncoderConfig

NORM_EPSILON = 1e-12
INITIAL_LOGIT_SCALE = 2.659_26
"""CLIP's first temperature, 1 / 0.07, as a logarithm."""


class TextMlp(nn.Module):
    """Two linear maps with QuickGELU, `v · σ(1.702 v)`, between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, T, W]` → `[n, T, W]`."""
        v = self.c_fc(x)
        return self.c_proj(v * torch.sigmoid(1.702 * v))


class ResidualBlock(nn.Module):
    """A causal pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width, NORM_EPSILON)
        self.mlp = TextMlp(width)
        self.ln_2 = nn.LayerNorm(width, NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, T, W]` → `[n, T, W]`."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, causal=True)
        return x + self.mlp(self.ln_2(x))


class TextTransformer(nn.Module):
    """Token and position embeddings, and a stack of blocks."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.resblocks = nn.ModuleList(ResidualBlock(config.width, config.heads) for _ in range(config.layers))
        self.ln_final = nn.LayerNorm(config.width, NORM_EPSILON)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """`[n, T]` → `[n, T, W]`."""
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        for block in self.resblocks:
            x = block(x)
        return self.ln_final(x)


class LanguageEncoder(nn.Module):
    """Sentences to token rows and sentence rows, neither normalised."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.lang_encoder = TextTransformer(config.text_encoder)
        self.lang_proj = nn.Parameter(torch.empty(config.text_encoder.width, config.projection_width))
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))
        nn.init.normal_(self.lang_proj, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Token rows `[n, T, C]` of ids `[n, T]`; a sentence's own row is that at its end marker.

        Attention is causal, so what stands behind the end marker never matters.
        """
        return self.lang_encoder(ids) @ self.lang_proj
