"""Writes resize_extra.json: Pillow's bicubic for many sizes, as hashes of procedural pictures.

    pip install pillow==13.0.0
    python make_resize_extra.py
"""

import hashlib
import json
import random
from pathlib import Path

import PIL
from PIL import Image

MASK = (1 << 64) - 1


def noise(width: int, height: int) -> bytes:
    """The high bytes of splitmix64's stream, started at 0."""
    state, pixels = 0, bytearray()
    for _ in range(width * height * 3):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        pixels.append((z ^ (z >> 31)) >> 56)
    return bytes(pixels)


def rings(width: int, height: int) -> bytes:
    """Smooth slopes with hard edges where they overflow."""
    return bytes(
        (x * x + y * y * (c + 1) + x * y) // 7 + 85 * c & 255
        for y in range(height)
        for x in range(width)
        for c in range(3)
    )


def main() -> None:
    rng = random.Random(13)
    sizes = [(1, 1, 1, 1), (1, 1, 64, 64), (1, 97, 33, 32), (97, 1, 32, 33), (1, 500, 1, 3), (500, 1, 3, 1)]
    sizes += [(300, 200, 1, 1), (2, 3, 200, 300), (640, 3, 5, 160), (3, 640, 160, 5), (64, 48, 64, 20), (64, 48, 20, 48)]
    while len(sizes) < 60:
        sizes.append(tuple(round(2 ** rng.uniform(0, 8.3)) for _ in range(4)))
    cases = []
    for index, (width, height, to_width, to_height) in enumerate(sizes):
        make = [noise, rings][index % 2]
        picture = Image.frombytes("RGB", (width, height), make(width, height))
        resized = picture.resize((to_width, to_height), Image.BICUBIC).tobytes()
        size = {"from": [width, height], "to": [to_width, to_height]}
        cases.append({"pixels": make.__name__, **size, "sha256": hashlib.sha256(resized).hexdigest()})
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    text = f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_name("resize_extra.json").write_text(text)


main()
