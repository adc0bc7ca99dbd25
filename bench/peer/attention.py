"""Multi-head attention under torch's weight names, and the sine position encoding.

Legend: B batch, N queries, M keys, C width, d width of a head.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiheadAttention(nn.Module):
    """Attention with the stacked in-projection of `torch.nn.MultiheadAttention`, on the fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, open_to: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """`[B, N, C]` from queries `[B, N, C]` and keys and values `[B, M, C]`.

        `open_to` broadcasts to `[B, heads, N, M]` and is true where a query may look.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            self._split(F.linear(x, weight, bias))
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=open_to, is_causal=causal)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """`[B, N, C]` → `[B, heads, N, d]`."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def sine_encoding(channels: int, height: int, width: int) -> Tensor:
    """`[1, H·W, channels]`: DETR's encoding of each position, rows in the first half of the channels."""
    half = channels // 2
    # Named devices, since a network whose weights are still to come is built without memory (see checkpoint.load).
    exponents = 2 * torch.div(torch.arange(half, device="cpu"), 2, rounding_mode="floor") / half
    divisors = 10000**exponents

    def axis(length: int) -> Tensor:
        """`[length, half]`."""
        places = torch.arange(1, length + 1, dtype=torch.float32, device="cpu") / (length + 1e-6) * (2 * math.pi)
        angles = places[:, None] / divisors
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), 2).flatten(1)

    rows = axis(height)[:, None].expand(height, width, half)
    columns = axis(width)[None].expand(height, width, half)
    return torch.cat((rows, columns), 2).reshape(1, height * width, channels)


def tokens_of(x: Tensor) -> Tensor:
    """`[B, C, H, W]` → `[B, H·W, C]`, row by row."""
    return x.flatten(2).transpose(1, 2)
