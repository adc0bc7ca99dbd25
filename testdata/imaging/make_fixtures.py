"""Makes the fixtures of crates/imaging with Pillow, whose `convert("RGB")` they record (written with Pillow 13.0.0).

    pip install pillow numpy && python make_fixtures.py

* png.json: every colour type, bit depth and interlacing of PNG, as hex, with the RGB bytes that Pillow makes of it.
  Of pure 16-bit gray the high bytes are recorded instead: Pillow clips at 255 (see the crate's first page, step 4).
* jpeg_*.jpg: every kind of JPEG that is read, with Pillow's RGB beside it in a PNG of the same name.
All pixels are procedural.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
NAMES = {GRAY: "gray", RGB: "rgb", PALETTE: "palette", GRAY_ALPHA: "gray_alpha", RGBA: "rgba"}
# First row, first column, row step and column step of the seven passes of Adam7.
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(samples, depth):
    """Rows of [height, width, channels] samples, each with filter type 0."""
    out = b""
    for row in samples:
        values = row.reshape(-1)
        if depth == 16:
            data = values.astype(">u2").tobytes()
        elif depth == 8:
            data = values.astype(np.uint8).tobytes()
        else:
            bits = ((values[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            data = np.packbits(bits.reshape(-1)).tobytes()
        out += b"\0" + data
    return out


def png(samples, color, depth, interlaced, before_pixels=b""):
    height, width = samples.shape[:2]
    if interlaced:
        passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        data = b"".join(pack(part, depth) for part in passes if part.size)
    else:
        data = pack(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before_pixels
        + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    )


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def transparency(color, samples):
    """The palette's first entry, or the first pixel's colour as the transparent one."""
    if color == PALETTE:
        return b"\x00"
    return b"".join(struct.pack(">H", int(value)) for value in samples[0, 0])


def png_cases():
    random = np.random.default_rng(7)
    cases = []
    for color, depths in [(GRAY, [1, 2, 4, 8, 16]), (RGB, [8, 16]), (PALETTE, [1, 2, 4, 8]),
                          (GRAY_ALPHA, [8, 16]), (RGBA, [8, 16])]:
        for depth in depths:
            for interlaced in [False, True]:
                for transparent in [False, True]:
                    if transparent and color in (GRAY_ALPHA, RGBA):
                        continue
                    width, height = 11, 9
                    samples = random.integers(0, 2**depth, (height, width, CHANNELS[color]))
                    extra = b""
                    if color == PALETTE:
                        # One entry fewer than the depth allows, so that some indices point past the end.
                        entries = max(2**depth - 1, 1)
                        extra = chunk(b"PLTE", random.integers(0, 256, entries * 3).astype(np.uint8).tobytes())
                    if transparent:
                        extra += chunk(b"tRNS", transparency(color, samples))
                    data = png(samples, color, depth, interlaced, extra)
                    rgb = pillow(data)
                    if color == GRAY and depth == 16:
                        rgb = np.repeat(samples >> 8, 3, axis=2).astype(np.uint8)
                    name = f"{NAMES[color]}_{depth}{'_interlaced' if interlaced else ''}{'_trns' if transparent else ''}"
                    cases.append({
                        "name": name, "color": NAMES[color], "bits": depth, "width": width, "height": height,
                        "png": data.hex(), "rgb": rgb.tobytes().hex(),
                    })
    return cases + [animated_case(False), animated_case(True)]


def animated_case(default_apart):
    """Two frames; where the default image stands apart, it belongs to neither."""
    frames = [Image.fromarray(np.full((5, 6, 3), value, np.uint8)) for value in (10, 20, 30)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], default_image=default_apart)
    data = buffer.getvalue()
    return {
        "name": f"animated{'_default_apart' if default_apart else ''}", "color": "rgb", "bits": 8, "width": 6, "height": 5,
        "png": data.hex(), "rgb": pillow(data).tobytes().hex(),
    }


def scene(width, height):
    """Smooth shading, a hard-edged disc and a little noise."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2)
    disc = (x - width * 2 // 3) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2
    rgb[disc] = [200, 40, 90]
    rgb = rgb + np.random.default_rng(3).integers(-6, 7, rgb.shape)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def write_jpeg(name, image, patch=lambda data: data, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    data = patch(buffer.getvalue())
    (HERE / f"jpeg_{name}.jpg").write_bytes(data)
    Image.fromarray(pillow(data)).save(HERE / f"jpeg_{name}.png", optimize=True)


def call_it_ycck(data):
    """Adobe's transform 2 in place of 0: the same bytes, now luma, chroma and black."""
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\x02" + data[at + 1:]


def jpegs():
    image = scene(67, 45)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    r, g, b = image.split()
    cmyk = Image.merge("CMYK", (r, g, b, g.transpose(Image.Transpose.FLIP_TOP_BOTTOM)))
    write_jpeg("444", image, quality=90, subsampling=0)
    write_jpeg("422", image, quality=90, subsampling=1)
    write_jpeg("420", image, quality=75, subsampling=2)
    write_jpeg("420_restarts", image, quality=75, subsampling=2, restart_marker_blocks=2)
    write_jpeg("420_turned", image, quality=75, subsampling=2, exif=exif)
    write_jpeg("progressive_444", image, quality=90, subsampling=0, progressive=True)
    write_jpeg("progressive_420", image, quality=75, subsampling=2, progressive=True)
    write_jpeg("gray", image.convert("L"), quality=90)
    write_jpeg("progressive_gray", image.convert("L"), quality=90, progressive=True)
    write_jpeg("rgb", image, quality=90, keep_rgb=True)
    write_jpeg("cmyk", cmyk, quality=90)
    write_jpeg("ycck", cmyk, call_it_ycck, quality=90)
    write_jpeg("one_pixel", scene(1, 1), quality=90)
    write_jpeg("narrow_420", scene(5, 70), quality=90, subsampling=2)


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case) for case in png_cases())
    (HERE / "png.json").write_text(f"[\n{lines}\n]\n")
    jpegs()
