"""The pixel decoder: a DETR encoder on the coarsest map, then a feature pyramid.

Legend: B batch, C the pyramid's channels, S the picture's side, N positions of a map.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MultiheadAttention, sine_encoding, tokens_of
from .config import NetworkConfig

NORM_GROUPS = 32
COARSEST_STRIDE = 32


class ConvNorm(nn.Conv2d):
    """A convolution without bias, a GroupNorm under the convolution's own name, and ReLU if asked for."""

    def __init__(self, channels: tuple[int, int], kernel: int, relu: bool) -> None:
        super().__init__(*channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(NORM_GROUPS, channels[1])
        self.activation: nn.Module = nn.ReLU() if relu else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, C', H, W]`."""
        return self.activation(self.norm(super().forward(input)))


class EncoderLayer(nn.Module):
    """A post-norm transformer layer with ReLU."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(width, heads)
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """`x` `[B, N, C]`, `position` `[1, N, C]` → `[B, N, C]`."""
        placed = x + position
        x = self.norm1(x + self.self_attn(placed, placed, x))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class TransformerEncoder(nn.Module):
    """A stack of encoder layers without a final norm."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.pixel_decoder
        self.layers = nn.ModuleList(
            EncoderLayer(sizes.conv_width, sizes.heads, sizes.feed_forward_width) for _ in range(sizes.encoder_layers)
        )

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """`[B, N, C]` → `[B, N, C]`."""
        for layer in self.layers:
            x = layer(x, position)
        return x


class PixelDecoder(nn.Module):
    """The backbone's four maps to mask features and the query decoder's three levels."""

    position: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.pixel_decoder
        width, base = sizes.conv_width, config.backbone.embed_dim
        self.input_proj = nn.Conv2d(base << 3, width, 1)
        self.transformer = nn.ModuleDict({"encoder": TransformerEncoder(config)})
        for level in (4, 3, 2, 1):
            self.add_module(f"layer_{level}", ConvNorm((width, width), 3, relu=True))
        for level in (3, 2, 1):
            self.add_module(f"adapter_{level}", ConvNorm((base << (level - 1), width), 1, relu=False))
        self.mask_features = nn.Conv2d(width, sizes.mask_width, 3, padding=1)
        side = config.image_size // COARSEST_STRIDE
        self.register_buffer("position", sine_encoding(width, side, side), persistent=False)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Mask features `[B, mask width, S/4, S/4]` and `[B, C, S/32, S/32]`, `[…S/16…]`, `[…S/8…]`."""
        *finer, coarsest = maps
        x = self.input_proj(coarsest)
        encoded = self.transformer["encoder"](tokens_of(x), self.position)
        y = self.get_submodule("layer_4")(encoded.transpose(1, 2).unflatten(2, x.shape[2:]))
        pyramid = [y]
        for level in (3, 2, 1):
            lateral = self.get_submodule(f"adapter_{level}")(finer[level - 1])
            y = self.get_submodule(f"layer_{level}")(lateral + F.interpolate(y, scale_factor=2.0, mode="nearest"))
            pyramid.append(y)
        return self.mask_features(pyramid.pop()), pyramid
