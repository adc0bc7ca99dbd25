"""The FocalNet backbone (Yang et al., "Focal Modulation Networks", 2022) in the form that BiomedParse uses.

Legend: B batch, H and W of the map at hand, C its channels, L focal levels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import BackboneConfig

STAGES = 4
INITIAL_LAYER_SCALE = 0.1


class FocalModulation(nn.Module):
    """Each position's query times what its surroundings say at several reaches."""

    def __init__(self, width: int, levels: int, window: int) -> None:
        super().__init__()
        self.f = nn.Linear(width, 2 * width + levels + 1)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False))
            for kernel in range(window, window + 2 * levels, 2)
        )
        self.h = nn.Conv2d(width, width, 1)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C]` → `[B, H, W, C]`."""
        width, levels = x.shape[3], len(self.focal_layers)
        projected = self.f(x).permute(0, 3, 1, 2)  # [B, 2C + L + 1, H, W]
        query, context, gates = projected.split((width, width, levels + 1), 1)
        total: Tensor | None = None
        for level, layer in enumerate(self.focal_layers):
            # Each level looks at the previous level's output, so the reach adds up.
            context = F.gelu(layer(context))
            gated = context * gates[:, level : level + 1]
            total = gated if total is None else total + gated
        assert total is not None
        everywhere = F.gelu(context.mean((2, 3), keepdim=True))
        total = total + everywhere * gates[:, levels:]
        modulator = self.h(total / (levels + 1))
        return self.proj((query * modulator).permute(0, 2, 3, 1))


class Mlp(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C]` → `[B, H, W, C]`."""
        return self.fc2(F.gelu(self.fc1(x)))


class FocalBlock(nn.Module):
    """Post-norm with layer scale: the norm is on each branch's output, the stream itself is never normalised."""

    def __init__(self, width: int, levels: int, window: int, hidden: int) -> None:
        super().__init__()
        self.modulation = FocalModulation(width, levels, window)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)
        self.gamma_1 = nn.Parameter(torch.full((width,), INITIAL_LAYER_SCALE))
        self.gamma_2 = nn.Parameter(torch.full((width,), INITIAL_LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C]` → `[B, H, W, C]`."""
        x = x + self.gamma_1 * self.norm1(self.modulation(x))
        return x + self.gamma_2 * self.norm2(self.mlp(x))


class PatchEmbed(nn.Module):
    """A strided convolution and a norm over its channels."""

    def __init__(self, channels: tuple[int, int], kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(*channels, kernel, stride, padding)
        self.norm = nn.LayerNorm(channels[1])

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` → `[B, H/stride, W/stride, C']`."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks at one resolution, and the way down to the next."""

    def __init__(self, config: BackboneConfig, stage: int) -> None:
        super().__init__()
        width = config.embed_dim << stage
        levels, window = config.focal_levels[stage], config.focal_windows[stage]
        self.blocks = nn.ModuleList(
            FocalBlock(width, levels, window, int(width * config.mlp_ratio)) for _ in range(config.depths[stage])
        )
        if stage + 1 < STAGES:
            self.downsample = PatchEmbed((width, 2 * width), kernel=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C]` → `[B, H, W, C]`, before the way down."""
        for block in self.blocks:
            x = block(x)
        return x


class Backbone(nn.Module):
    """A picture to maps at a 4th, 8th, 16th and 32nd of its size."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed((3, config.embed_dim), kernel=7, stride=config.patch_size, padding=2)
        self.layers = nn.ModuleList(Stage(config, stage) for stage in range(STAGES))
        for stage in range(STAGES):
            self.add_module(f"norm{stage}", nn.LayerNorm(config.embed_dim << stage))

    def forward(self, image: Tensor) -> list[Tensor]:
        """`[B, 3, S, S]` → res2 to res5, `[B, C << stage, S/4 >> stage, S/4 >> stage]`."""
        x = self.patch_embed(image)
        maps = []
        for stage, layer in enumerate(self.layers):
            x = layer(x)
            maps.append(self.get_submodule(f"norm{stage}")(x).permute(0, 3, 1, 2))
            if stage + 1 < STAGES:
                x = layer.get_submodule("downsample")(x.permute(0, 3, 1, 2))
        return maps
