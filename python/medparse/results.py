"""What the model answers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

from . import _medparse
from ._medparse import Picture, Volume
from .pictures import contiguous_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The answer to one phrase about a picture; ``np.asarray(answer)`` is its mask."""

    prompt: str
    """The phrase."""
    mask: npt.NDArray[np.bool_]
    """``[height, width]``, true where the thing is."""
    category: str
    """What kind of thing it is, one of the model's 16 categories."""
    probability: npt.NDArray[np.float32] | None = None
    """``[height, width]``, 0 to 1; none from endpoints, which send masks only."""
    similarity: float | None = None
    """Cosine similarity of the phrase and what answered it, −1 to 1."""
    presence: float | None = None
    """How probable it is that the thing is there at all, of models that say."""
    mean_probability: float | None = None
    """Of the mask's pixels; none where it is empty."""
    truncated: bool = False
    """Whether the phrase was longer than the model reads, and was cut."""
    picture: Picture | None = field(default=None, repr=False)
    """The picture that was asked about."""

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """The smallest rectangle around the mask: x, y, width, height; none where it is empty."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        if rows.size == 0:
            return None
        columns = np.flatnonzero(self.mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1

    def dice(self, truth: npt.ArrayLike) -> float:
        """Dice's coefficient with another mask of the same size; 1 where both are empty."""
        other = contiguous_mask(truth)
        if other.shape != self.mask.shape:
            raise ValueError(f"expected a mask of shape {self.mask.shape}, found {other.shape}")
        marked = int(np.count_nonzero(self.mask)) + int(np.count_nonzero(other))
        return 2 * int(np.count_nonzero(self.mask & other)) / marked if marked else 1.0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mask as a PNG: 255 inside, 0 outside."""
        if not os.fspath(path).lower().endswith(".png"):
            raise ValueError(f"{os.fspath(path)}: expected a name that ends in .png")
        _replace(path, _medparse.encode_mask(contiguous_mask(self.mask)))

    def overlay(self) -> npt.NDArray[np.uint8]:
        """The picture with the mask drawn in, ``[height, width, 3]``."""
        return Segmentations([self]).overlay()

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the picture with the mask by Matplotlib."""
        return Segmentations([self]).plot(axes)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if dtype is not None and np.dtype(dtype) != self.mask.dtype:
            return self.mask.astype(dtype)
        return self.mask.copy() if copy else self.mask

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return (
            f"Segmentation({self.prompt!r}, {self.category!r}, "
            f"{self.area} of {width} × {height} px)"
        )

    def _repr_png_(self) -> bytes:
        return Segmentations([self])._drawn(legend=True).encode_png()


class Segmentations(list[Segmentation]):
    """The answers about one picture, in the order of the phrases; ``answers["liver"]`` is the one to
    that phrase."""

    seconds: float | None = None
    """What the model took for them; none from endpoints."""

    @overload
    def __getitem__(self, at: SupportsIndex | str) -> Segmentation: ...
    @overload
    def __getitem__(self, at: slice) -> Segmentations: ...
    def __getitem__(self, at: SupportsIndex | str | slice) -> Segmentation | Segmentations:
        if isinstance(at, str):
            for answer in self:
                if answer.prompt == at:
                    return answer
            asked = ", ".join(repr(answer.prompt) for answer in self)
            raise KeyError(f"nobody asked for {at!r}; the phrases were {asked}")
        if isinstance(at, slice):
            return Segmentations(super().__getitem__(at))
        return super().__getitem__(at)

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """All masks, ``[phrases, height, width]``."""
        return np.stack([answer.mask for answer in self])

    def _drawn(self, legend: bool) -> Picture:
        if not self:
            raise ValueError("there is no answer to draw")
        picture = self[0].picture
        if picture is None:
            height, width = self[0].mask.shape
            picture = Picture.from_gray(np.zeros((height, width), np.uint8))
        layers = [(answer.prompt, _note(answer), contiguous_mask(answer.mask)) for answer in self]
        return _medparse.overlay(picture, layers, legend)

    def overlay(self) -> npt.NDArray[np.uint8]:
        """The picture with the masks drawn in, ``[height, width, 3]``; small ones are enlarged."""
        return self._drawn(legend=False).numpy()

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the picture with the masks and a legend by Matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plot() needs Matplotlib: pip install 'medparse[plot]'") from error
        if axes is None:
            axes = plt.figure().add_subplot()
        axes.imshow(self._drawn(legend=True).numpy())
        axes.set_axis_off()
        return axes

    def _repr_png_(self) -> bytes | None:
        return self._drawn(legend=True).encode_png() if self else None


def _note(answer: Segmentation) -> str:
    if answer.mean_probability is None:
        return answer.category
    return f"{answer.category} · p {answer.mean_probability:.2f}"


@dataclass(frozen=True, eq=False)
class VolumeSegmentation:
    """The answer to one phrase about a volume; ``np.asarray(answer)`` is its mask."""

    prompt: str
    """The phrase."""
    mask: npt.NDArray[np.bool_]
    """``[slices, rows, columns]`` in the file's own order."""
    probability: npt.NDArray[np.uint8] | None
    """``[slices, rows, columns]``, 0 to 255."""
    category: str | None
    """What kind of thing it is; none where nothing was found."""
    presence: float | None
    """How probable it is that the thing is in the slice where that is most probable."""
    volume: Volume = field(repr=False)
    """What was asked about."""

    @property
    def voxels(self) -> int:
        """Voxels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def millilitres(self) -> float | None:
        """The volume of the mask; none where the voxels have no size."""
        affine = self.volume.affine
        if affine is None:
            return None
        return float(self.voxels * abs(np.linalg.det(affine[:3, :3])) / 1000)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mask in the format that the path's ending names, such as ``.nii.gz``."""
        from .volumes import write

        write(path, self.volume, [self])

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if dtype is not None and np.dtype(dtype) != self.mask.dtype:
            return self.mask.astype(dtype)
        return self.mask.copy() if copy else self.mask

    def __repr__(self) -> str:
        return f"VolumeSegmentation({self.prompt!r}, {self.voxels} voxels)"

    def _repr_png_(self) -> bytes:
        fullest = int(self.mask.sum(axis=(1, 2)).argmax())
        picture = self.volume.picture(fullest, "stored")
        layer = (self.prompt, f"slice {fullest}", contiguous_mask(self.mask[fullest]))
        return _medparse.overlay(picture, [layer], True).encode_png()


def _answers(
    picture: Picture, found: Iterable[_medparse.Answer], seconds: float | None = None
) -> Segmentations:
    """The extension's answers as the package's."""
    answers = Segmentations(
        Segmentation(
            prompt=answer.prompt,
            mask=answer.mask,
            category=answer.category,
            probability=answer.probability,
            similarity=answer.similarity,
            presence=answer.presence,
            mean_probability=answer.mean_probability,
            truncated=answer.truncated,
            picture=picture,
        )
        for answer in found
    )
    answers.seconds = seconds
    return answers


def _replace(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it."""
    import tempfile

    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".medparse-", delete=False) as file:
        try:
            file.write(content)
            file.close()
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(file.name, 0o666 & ~umask)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
