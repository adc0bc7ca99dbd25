"""A picture's way into the network and a mask's way out; no torch here, so that other runtimes need none."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from .config import NetworkConfig


def decode(path: Path) -> Image.Image:
    """The picture of a file in RGB; an alpha channel is dropped."""
    with Image.open(path) as image:
        return image.convert("RGB")


def preprocess(image: Image.Image, config: NetworkConfig) -> np.ndarray:
    """`[1, 3, S, S]`, normalised: resized by Pillow's bicubic filter to the network's square."""
    side = config.image_size
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32)
    normal = (pixels - np.array(config.pixel_mean, np.float32)) / np.array(config.pixel_std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def encode_masks(probability: np.ndarray) -> str:
    """Masks `[n, H, W]` as the endpoint's reply carries them: 255 where the object is, 0 elsewhere, in base64."""
    return base64.b64encode(np.where(probability > 0.5, np.uint8(255), np.uint8(0)).tobytes()).decode()


def distinct(picture: Path, count: int) -> list[bytes]:
    """PNGs of the same size and hardly another content, none the same as another."""
    pixels = np.array(Image.open(picture).convert("RGB"))
    found = []
    for index in range(count):
        pixels[0, index] = 255 - pixels[0, index]
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        found.append(file.getvalue())
    return found
