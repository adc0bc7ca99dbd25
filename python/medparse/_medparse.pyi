"""The extension module; the package around it is what is meant to be used."""

from collections.abc import Sequence
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "Answer",
    "Encoded",
    "MedparseError",
    "Model",
    "Picture",
    "Placement",
    "Volume",
    "VolumeAnswer",
    "encode_findings",
    "encode_mask",
    "evaluate",
    "output_endings",
    "overlay",
    "prepare",
]

class MedparseError(Exception):
    """What medparse could not do; the message is a whole sentence."""

@final
class Picture:
    """8-bit RGB pixels, as the model is shown them."""

    @staticmethod
    def from_rgb(pixels: npt.NDArray[np.uint8]) -> Picture: ...
    @staticmethod
    def from_gray(pixels: npt.NDArray[np.uint8]) -> Picture: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def numpy(self) -> npt.NDArray[np.uint8]: ...
    def encode_png(self) -> bytes: ...

@final
class Volume:
    """Slices of measured values or of colours, with their place in the patient."""

    @staticmethod
    def open(path: str, series: str | None = None) -> Volume: ...
    @staticmethod
    def decode(bytes: bytes) -> Volume: ...
    @staticmethod
    def from_array(values: npt.ArrayLike, affine: npt.ArrayLike | None = None) -> Volume:
        """A volume of ``[slices, rows, columns]``; ``affine`` leads from ``[column, row, slice]`` to RAS+ mm.

        nibabel's ``image.get_fdata().T`` and ``image.affine`` are these."""

    def numpy(self) -> npt.NDArray[Any]:
        """``[slices, rows, columns]`` as float32 (CT in Hounsfield units), or ``[…, 3]`` as uint8."""

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]: ...
    def _repr_png_(self) -> bytes:
        """The slice in the middle, as notebooks show it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """mm from slice to slice, row to row and column to column."""

    @property
    def affine(self) -> npt.NDArray[np.float64] | None:
        """4 × 4, from ``[column, row, slice]`` to RAS+ mm, as nibabel's."""

    @property
    def modality(self) -> str | None:
        """DICOM's code, such as ``"CT"``."""

    @property
    def format(self) -> str: ...
    @property
    def warnings(self) -> list[str]: ...
    def plane_shape(self, plane: str | None = None) -> tuple[int, int, int]:
        """How many slices a plane has, and the height and width of each."""

    def picture(self, index: int = 0, plane: str | None = None, window: str = "auto") -> Picture:
        """One slice as the model is shown it."""

@final
class Answer:
    prompt: str
    mask: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float32]
    category: str
    similarity: float
    presence: float | None
    mean_probability: float | None
    area: int
    bounding_box: tuple[int, int, int, int] | None
    truncated: bool

@final
class VolumeAnswer:
    prompt: str
    mask: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.uint8] | None
    category: str | None
    presence: float | None

@final
class Encoded:
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def nbytes(self) -> int: ...

@final
class Model:
    @staticmethod
    def load(
        source: str,
        *,
        config: str | None = None,
        image_size: int | None = None,
        fit: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> Model: ...
    def encode(self, picture: Picture) -> Encoded: ...
    def segment(
        self, picture: Picture, prompts: list[str], asking: dict[str, Any]
    ) -> tuple[list[Answer], float]: ...
    def ask(
        self, encoded: Encoded, prompts: list[str], asking: dict[str, Any]
    ) -> tuple[list[Answer], float]: ...
    def segment_volume(
        self,
        volume: Volume,
        prompts: list[str],
        asking: dict[str, Any],
        *,
        plane: str | None = None,
        window: str = "auto",
        smooth: bool = False,
        largest: bool = False,
    ) -> list[VolumeAnswer]: ...
    def recognize(
        self, picture: Picture, kind: str, presence_threshold: float | None = None
    ) -> list[Answer]: ...
    @property
    def card(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def fit(self) -> str: ...
    def outside(self, phrase: str) -> str | None: ...

@final
class Placement:
    def undo(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]: ...
    @property
    def bounding_box(self) -> tuple[float, float, float, float]: ...

_Finding: TypeAlias = tuple[str, str | None, npt.NDArray[np.bool_], npt.NDArray[np.uint8] | None]

def prepare(picture: Picture, side: int) -> tuple[Picture, Placement]: ...
def encode_mask(mask: npt.NDArray[np.bool_]) -> bytes: ...
def overlay(
    picture: Picture,
    layers: Sequence[tuple[str, str | None, npt.NDArray[np.bool_]]],
    legend: bool,
) -> Picture: ...
def output_endings() -> list[tuple[str, str]]: ...
def encode_findings(volume: Volume, found: Sequence[_Finding], format: str, name: str) -> bytes: ...
def evaluate(model: Model, dataset: str, measuring: dict[str, Any]) -> str: ...
