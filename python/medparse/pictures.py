"""Whatever people hold a picture in, as the model takes it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Protocol, Union, runtime_checkable

import numpy as np
import numpy.typing as npt

from . import _medparse
from ._medparse import Picture, Volume


@runtime_checkable
class PilImage(Protocol):
    """What is asked of a ``PIL.Image.Image``."""

    mode: str

    def convert(self, mode: str) -> PilImage: ...


@runtime_checkable
class Readable(Protocol):
    """What is asked of a file that is open for bytes, or of an ``io.BytesIO``."""

    def read(self) -> bytes: ...


ImageLike = Union[npt.NDArray[Any], PilImage, "os.PathLike[str]", str, bytes, Readable, Volume]
"""A NumPy array, a PIL image, a path, the bytes of a file, an open file, or a volume of one slice.

Arrays are ``[height, width]``, ``[height, width, 3]`` or ``[height, width, 4]`` of uint8, where
alpha is dropped; or ``[height, width]`` of measured values of any other number type, which become
grays as ``window`` says.
"""

# Pixels of these modes are measurements rather than grays.
_MEASURED_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def picture_of(
    image: ImageLike, *, window: str = "auto", index: int | None = None, plane: str | None = None
) -> Picture:
    """The picture that the model is shown.

    Of a volume, ``index`` says which slice of ``plane``.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _from_volume(Volume.decode(bytes(image)), window, index, plane)
    if isinstance(image, (str, os.PathLike)):
        return _from_volume(Volume.open(os.fspath(image)), window, index, plane)
    if isinstance(image, Volume):
        return _from_volume(image, window, index, plane)
    if isinstance(image, Readable):
        return picture_of(_read(image), window=window, index=index, plane=plane)
    if index is not None or plane is not None:
        raise ValueError("index and plane choose a slice of a volume: this is a picture")
    if isinstance(image, Picture):
        return image
    if isinstance(image, PilImage):
        is_measured = image.mode in _MEASURED_MODES
        return _from_array(np.asarray(image if is_measured else image.convert("RGB")), window)
    if hasattr(image, "__array__"):
        return _from_array(np.asarray(image), window)
    raise TypeError(
        "expected a NumPy array, a PIL image, a path, bytes, an open file or a Volume, "
        f"found {type(image).__name__}"
    )


def volume_of(scan: ImageLike) -> Volume:
    """A scan, whatever it is held in; an array is ``[slices, rows, columns]`` of measured values."""
    if isinstance(scan, Volume):
        return scan
    if isinstance(scan, (str, os.PathLike)):
        return Volume.open(os.fspath(scan))
    if isinstance(scan, (bytes, bytearray, memoryview)):
        return Volume.decode(bytes(scan))
    if isinstance(scan, Readable):
        return Volume.decode(_read(scan))
    if hasattr(scan, "__array__"):
        return Volume.from_array(np.asarray(scan))
    raise TypeError(
        f"expected a Volume, a path, bytes, an open file or an array, found {type(scan).__name__}"
    )


def _read(file: Readable) -> bytes:
    content = file.read()
    if not isinstance(content, bytes):
        raise TypeError(
            f'expected a file that is open for bytes, as by open(path, "rb"), '
            f"found one that gives {type(content).__name__}"
        )
    return content


def _from_volume(volume: Volume, window: str, index: int | None, plane: str | None) -> Picture:
    slices, _, _ = volume.plane_shape(plane)
    if index is None and slices > 1:
        raise ValueError(
            f"this is a volume of {slices} slices: ask model.segment_volume, "
            "or say which slice with index="
        )
    if index is not None and not 0 <= index < slices:
        raise ValueError(f"index: expected 0 to {slices - 1}, found {index}")
    return volume.picture(index or 0, plane, window)


def _from_array(array: npt.NDArray[Any], window: str) -> Picture:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4):
        return Picture.from_rgb(np.ascontiguousarray(array[:, :, :3]))
    if array.dtype == np.uint8 and array.ndim == 2 and window == "auto":
        return Picture.from_gray(np.ascontiguousarray(array))
    is_measured = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if array.ndim == 2 and is_measured:
        values = np.ascontiguousarray(array, dtype=np.float32)
        return Volume.from_array(values[np.newaxis]).picture(0, "stored", window)
    raise ValueError(
        "expected [height, width] numbers or [height, width, 3 or 4] of uint8, "
        f"found shape {list(array.shape)} of {array.dtype}{_advice(array)}"
    )


def _advice(array: npt.NDArray[Any]) -> str:
    """How an array that was refused becomes one that is taken."""
    if array.ndim == 3 and array.shape[2] in (3, 4):
        return "; of colours from 0 to 1, give (array * 255).astype(np.uint8)"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "; channels come last: give array.transpose(1, 2, 0)"
    if array.ndim == 3:
        return "; slices of a scan are medparse.Volume.from_array(array), for model.segment_volume"
    if array.ndim == 4:
        return "; give pictures one by one"
    return ""


def contiguous_mask(mask: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """A mask of any number type as booleans: everything but 0 is inside."""
    array = np.asarray(mask)
    return np.ascontiguousarray(array if array.dtype == np.bool_ else array != 0)


@dataclass(frozen=True)
class Prepared:
    """The square picture that clients of an endpoint send."""

    image: npt.NDArray[np.uint8] = field(repr=False)
    """``[side, side, 3]``."""
    box: tuple[float, float, float, float]
    """Where the picture lies on the square: x, y, width and height in its pixels."""
    _placement: _medparse.Placement = field(repr=False)
    _picture: Picture = field(repr=False)

    def undo(self, mask: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """A mask of the square, cut and resized back to the picture's own pixels."""
        array = contiguous_mask(mask)
        if array.shape != self.image.shape[:2]:
            raise ValueError(
                f"expected a mask of shape {self.image.shape[:2]}, found {array.shape}"
            )
        return self._placement.undo(array)

    def png(self) -> bytes:
        """The bytes of a PNG file."""
        return self._picture.encode_png()

    def _repr_png_(self) -> bytes:
        return self.png()


def prepare(
    image: ImageLike,
    side: int = 1024,
    *,
    window: str = "auto",
    index: int | None = None,
    plane: str | None = None,
) -> Prepared:
    """Windows a picture, pads it to a square with black and resizes it, as the documentation's
    notebooks do before they send it; ``prepared.undo(mask)`` is the way back."""
    picture = picture_of(image, window=window, index=index, plane=plane)
    square, placement = _medparse.prepare(picture, side)
    return Prepared(square.numpy(), placement.bounding_box, placement, square)
