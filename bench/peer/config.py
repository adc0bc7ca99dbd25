"""The sizes of a network of the BiomedParse family, as medparse's model files and the reference's YAML give them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

PUBLISHED_IMAGE_SIZE = 1024
"""Side of the picture where the configuration names none, as in the reference."""

CLIP_VOCABULARY = 49408

Section = TypeVar("Section")


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the FocalNet backbone; the lists hold one number per stage."""

    embed_dim: int
    depths: list[int]
    focal_levels: list[int]
    focal_windows: list[int]
    mlp_ratio: float
    patch_size: int


@dataclass(frozen=True)
class PixelDecoderConfig:
    """Sizes of the DETR encoder and the feature pyramid behind it."""

    conv_width: int
    mask_width: int
    encoder_layers: int
    heads: int
    feed_forward_width: int


@dataclass(frozen=True)
class QueryDecoderConfig:
    """Sizes of the query decoder; `layers` counts those that run."""

    hidden_width: int
    heads: int
    feed_forward_width: int
    layers: int
    queries: int


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of the CLIP-style text encoder."""

    width: int
    heads: int
    layers: int
    context_length: int
    vocabulary: int


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that fixes the shapes of the weights and the scale of the input."""

    image_size: int
    pixel_mean: list[float]
    pixel_std: list[float]
    backbone: BackboneConfig
    pixel_decoder: PixelDecoderConfig
    query_decoder: QueryDecoderConfig
    text_encoder: TextEncoderConfig
    projection_width: int
    presence_head: bool = False

    @staticmethod
    def from_json(text: str) -> NetworkConfig:
        """Reads the configuration that medparse keeps in a safetensors file's metadata."""
        return _build(NetworkConfig, json.loads(text))

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_yaml(path: Path, image_size: int | None = None) -> NetworkConfig:
        """Reads the reference's YAML; `image_size` overrides what it says."""
        # Here, so that programs which read no YAML need nothing but Python.
        import yaml

        root = yaml.safe_load(path.read_text())
        model = root["MODEL"]
        focal, encoder, decoder, text = (
            model["BACKBONE"]["FOCAL"],
            model["ENCODER"],
            model["DECODER"],
            model["TEXT"],
        )
        return NetworkConfig(
            image_size=image_size or root["INPUT"].get("IMAGE_SIZE", PUBLISHED_IMAGE_SIZE),
            pixel_mean=root["INPUT"]["PIXEL_MEAN"],
            pixel_std=root["INPUT"]["PIXEL_STD"],
            backbone=BackboneConfig(
                embed_dim=focal["EMBED_DIM"],
                depths=focal["DEPTHS"],
                focal_levels=focal["FOCAL_LEVELS"],
                focal_windows=focal["FOCAL_WINDOWS"],
                mlp_ratio=focal["MLP_RATIO"],
                patch_size=focal["PATCH_SIZE"],
            ),
            pixel_decoder=PixelDecoderConfig(
                conv_width=encoder["CONVS_DIM"],
                mask_width=encoder["MASK_DIM"],
                encoder_layers=encoder["TRANSFORMER_ENC_LAYERS"],
                heads=decoder["NHEADS"],
                feed_forward_width=decoder["DIM_FEEDFORWARD"],
            ),
            query_decoder=QueryDecoderConfig(
                hidden_width=decoder["HIDDEN_DIM"],
                heads=decoder["NHEADS"],
                feed_forward_width=decoder["DIM_FEEDFORWARD"],
                # The reference's `DEC_LAYERS: 10` runs 9 layers and 10 heads.
                layers=decoder["DEC_LAYERS"] - 1,
                queries=decoder["NUM_OBJECT_QUERIES"],
            ),
            text_encoder=TextEncoderConfig(
                width=text["WIDTH"],
                heads=text["HEADS"],
                layers=text["LAYERS"],
                context_length=text["CONTEXT_LENGTH"],
                vocabulary=CLIP_VOCABULARY,
            ),
            projection_width=model["DIM_PROJ"],
        )


def biomedparse_v1() -> NetworkConfig:
    """The sizes of the published `biomedparse_v1.pt`."""
    return NetworkConfig(
        image_size=PUBLISHED_IMAGE_SIZE,
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
        backbone=BackboneConfig(192, [2, 2, 18, 2], [4] * 4, [3] * 4, 4.0, 4),
        pixel_decoder=PixelDecoderConfig(512, 512, 6, 8, 2048),
        query_decoder=QueryDecoderConfig(512, 8, 2048, 9, 101),
        text_encoder=TextEncoderConfig(512, 8, 12, 77, CLIP_VOCABULARY),
        projection_width=512,
    )


def small() -> NetworkConfig:
    """The sizes of medparse-small, as `NetworkChoice::Small` of crates/train has them."""
    return NetworkConfig(
        image_size=256,
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
        backbone=BackboneConfig(40, [2, 2, 6, 2], [3, 3, 3, 2], [3] * 4, 4.0, 4),
        pixel_decoder=PixelDecoderConfig(128, 64, 2, 8, 512),
        query_decoder=QueryDecoderConfig(128, 8, 512, 6, 24),
        text_encoder=TextEncoderConfig(64, 4, 4, 77, CLIP_VOCABULARY),
        projection_width=128,
        presence_head=True,
    )


def _build(kind: type[Section], values: dict[str, Any]) -> Section:
    """Fills a dataclass, and those inside it, from a JSON object; unknown keys are errors."""
    types = get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = values.keys() - known
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    nested = {
        name: _build(types[name], value) if is_dataclass(types[name]) else value for name, value in values.items()
    }
    return kind(**nested)
