"""The query decoder: object queries look at the picture, then talk with the words.

Legend: B batch, Q object queries, T grounding tokens, C width, N positions of a level, S the picture's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MultiheadAttention, sine_encoding, tokens_of
from .config import NetworkConfig
from .text_encoder import LanguageEncoder

LEVEL_STRIDES = (32, 16, 8)
"""The picture's levels that the layers look at in turn."""


@dataclass(frozen=True)
class Heads:
    """What the object queries say after a layer."""

    class_embed: Tensor
    """`[B, Q, C]`, not normalised."""
    mask_embed: Tensor
    """`[B, Q, mask width]`."""
    masks: Tensor
    """`[B, Q, S/4, S/4]` logits."""
    presence: Tensor | None
    """`[B, Q]` logits, where the network has such a head."""


class CrossAttentionLayer(nn.Module):
    """Object queries look at one level of the picture."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.query_decoder
        self.multihead_attn = MultiheadAttention(sizes.hidden_width, sizes.heads)
        self.norm = nn.LayerNorm(sizes.hidden_width)

    def forward(self, objects: Tensor, position: Tensor, source: Tensor, place: Tensor, open_to: Tensor) -> Tensor:
        """`objects` `[B, Q, C]`, `source` `[B, N, C]`, `place` `[1, N, C]`, `open_to` `[B, 1, Q, N]`."""
        return self.norm(objects + self.multihead_attn(objects + position, source + place, source, open_to))


class SelfAttentionLayer(nn.Module):
    """Object queries and grounding tokens look at each other."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.query_decoder
        self.self_attn = MultiheadAttention(sizes.hidden_width, sizes.heads)
        self.norm = nn.LayerNorm(sizes.hidden_width)

    def forward(self, x: Tensor, position: Tensor, open_to: Tensor | None) -> Tensor:
        """`[B, Q + T, C]` → `[B, Q + T, C]`."""
        placed = x + position
        return self.norm(x + self.self_attn(placed, placed, x, open_to))


class FeedForwardLayer(nn.Module):
    """The feed-forward network of queries and tokens alike."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, hidden = config.query_decoder.hidden_width, config.query_decoder.feed_forward_width
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, Q + T, C]` → `[B, Q + T, C]`."""
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class Perceptron(nn.Module):
    """Three linear maps with ReLU between them."""

    def __init__(self, width: int, output: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, output)))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, Q, C]` → `[B, Q, output]`."""
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)


class QueryDecoder(nn.Module):
    """The query decoder, and the text encoder that the checkpoint keeps inside it."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        sizes = config.query_decoder
        width, layers = sizes.hidden_width, range(sizes.layers)
        self.lang_encoder = LanguageEncoder(config)
        self.query_feat = nn.Embedding(sizes.queries, width)
        self.query_embed = nn.Embedding(sizes.queries, width)
        self.level_embed = nn.Embedding(len(LEVEL_STRIDES), width)
        self.transformer_cross_attention_layers = nn.ModuleList(CrossAttentionLayer(config) for _ in layers)
        self.transformer_self_attention_layers = nn.ModuleList(SelfAttentionLayer(config) for _ in layers)
        self.transformer_ffn_layers = nn.ModuleList(FeedForwardLayer(config) for _ in layers)
        self.decoder_norm = nn.LayerNorm(width)
        self.mask_embed = Perceptron(width, config.pixel_decoder.mask_width)
        self.class_embed = nn.Parameter(torch.empty(width, config.projection_width))
        self.presence_head = Perceptron(width, 1) if config.presence_head else None
        nn.init.normal_(self.class_embed, std=0.02)
        for index, stride in enumerate(LEVEL_STRIDES):
            side = config.image_size // stride
            self.register_buffer(f"place_{index}", sine_encoding(width, side, side), persistent=False)

    def forward(
        self, mask_features: Tensor, levels: list[Tensor], tokens: Tensor, is_token: Tensor | None = None
    ) -> list[Heads]:
        """The heads before any layer and after each.

        `mask_features` `[B, mask width, S/4, S/4]`, `levels` as the pixel decoder gives them, `tokens` `[B, T, C]`;
        `is_token` `[B, T]` is false where a picture has fewer tokens than the batch is wide.
        """
        batch, queries = tokens.shape[0], self.query_feat.num_embeddings
        sources = [tokens_of(level) + self.level_embed.weight[index] for index, level in enumerate(levels)]
        query_position = self.query_embed.weight.expand(batch, -1, -1)
        # The tokens' position is their own first value, and no gradient flows through it.
        position = torch.cat((query_position, tokens.detach()), 1)
        open_tokens = None
        if is_token is not None:
            open_tokens = F.pad(is_token, (queries, 0), value=True)[:, None, None]  # [B, 1, 1, Q + T]

        objects = self.query_feat.weight.expand(batch, -1, -1)
        heads = [self.heads(objects, mask_features)]
        for index, cross in enumerate(self.transformer_cross_attention_layers):
            level = index % len(sources)
            open_to = ~closed_positions(heads[-1].masks, levels[level].shape[-2:])
            place = self.get_buffer(f"place_{level}")
            objects = cross(objects, query_position, sources[level], place, open_to[:, None])
            both = torch.cat((objects, tokens), 1)  # [B, Q + T, C]
            both = self.transformer_self_attention_layers[index](both, position, open_tokens)
            both = self.transformer_ffn_layers[index](both)
            objects, tokens = both[:, :queries], both[:, queries:]
            heads.append(self.heads(objects, mask_features))
        return heads

    def heads(self, objects: Tensor, mask_features: Tensor) -> Heads:
        """What `objects` `[B, Q, C]` say."""
        objects = self.decoder_norm(objects)
        mask_embed = self.mask_embed(objects)
        masks = (mask_embed @ mask_features.flatten(2)).unflatten(2, mask_features.shape[2:])
        presence = None if self.presence_head is None else self.presence_head(objects).squeeze(2)
        return Heads(objects @ self.class_embed, mask_embed, masks, presence)


def closed_positions(masks: Tensor, size: torch.Size) -> Tensor:
    """`[B, Q, N]`: where a query may not look, since its shrunken mask is closed there.

    A query whose mask is closed everywhere may look everywhere.
    """
    shrunken = F.interpolate(masks.detach(), size, mode="bilinear", align_corners=False)
    closed = (shrunken < 0).flatten(2)
    return closed & ~closed.all(2, keepdim=True)
