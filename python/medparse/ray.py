"""Many pictures on many machines: an actor for ``ray.data``.

>>> import ray, medparse.ray
>>> rows = ray.data.read_csv("pictures.csv")  # columns image, text
>>> answered = rows.map_batches(
...     medparse.ray.Segmenter, compute=ray.data.ActorPoolStrategy(size=2), batch_size=8
... )
>>> answered.write_parquet("masks")

Each actor holds one model. Ray runs a row again whose actor or machine was lost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _medparse
from .model import load
from .pictures import contiguous_mask
from .results import Segmentations

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Segmenter"]

Batch = Mapping[str, Sequence[Any]]
"""Columns of equal length, as ``ray.data`` hands them to a function."""


class Segmenter:
    """Answers the rows of a dataset; what ``ray.data.Dataset.map_batches`` takes as its function.

    Of each row it reads a picture (``image``: a path, the bytes of a file, or an array, as
    ``ray.data.read_images`` gives it) and phrases (``text``, separated by ``&``), and adds

    ``masks``
        one PNG per phrase, 255 inside and 0 outside, each the picture's size;
    ``categories``
        what kind of thing each is;
    ``areas``
        pixels of each;
    ``error``
        why there is no answer, in a sentence; null where there is one.

    A picture that can't be read is such a row, and the run goes on.

    :param model: what :func:`medparse.load` takes; a path must be one that every machine can read.
    :param prompts: what is asked of rows without ``text``.
    :param image: the name of the column of pictures.
    :param text: the name of the column of phrases.
    :param keep: other columns to hand on; all but the picture where not given.
    :param options: of :func:`medparse.load`, such as ``precision="bf16"`` and ``threads=4``. Give
        ``num_cpus`` of ``map_batches`` the same number as ``threads``; without ``threads`` an actor
        computes on as many as Ray gave it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "bundled",
        *,
        prompts: str | Sequence[str] | None = None,
        image: str = "image",
        text: str = "text",
        keep: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("threads", _threads_of_actor())
        self._model = load(model, **options)
        self._prompts = prompts
        self._image = image
        self._text = text
        self._keep = keep

    def __call__(self, batch: Batch) -> pa.Table:
        """The rows of a batch with their answers, in their order."""
        import pyarrow as pa

        pictures = batch[self._image]
        phrases = batch.get(self._text, [None] * len(pictures))
        answers = [
            self._row(picture, asked) for picture, asked in zip(pictures, phrases, strict=True)
        ]
        kept = [name for name in batch if name != self._image] if self._keep is None else self._keep
        columns = {name: pa.array(list(batch[name])) for name in kept}
        # Said, not found out: of a batch without an answer or without an error nothing could be.
        kinds = {
            "masks": pa.list_(pa.binary()),
            "categories": pa.list_(pa.string()),
            "areas": pa.list_(pa.int64()),
            "error": pa.string(),
        }
        for name, kind in kinds.items():
            columns[name] = pa.array([answer[name] for answer in answers], kind)
        return pa.table(columns)

    def _row(self, picture: Any, asked: Any) -> dict[str, Any]:
        try:
            prompts = asked if isinstance(asked, str) else self._prompts
            if prompts is None:
                raise ValueError(f'nothing is asked: expected phrases in the column "{self._text}"')
            return _answered(self._model.segment(picture, prompts))
        # A missing or torn file, a phrase that is empty: one row of many.
        except (_medparse.MedparseError, OSError, TypeError, ValueError) as error:
            sentence = f"{type(error).__name__}: {error}"
            return {"masks": [], "categories": [], "areas": [], "error": sentence}


def _answered(answers: Segmentations) -> dict[str, Any]:
    return {
        "masks": [_medparse.encode_mask(contiguous_mask(answer.mask)) for answer in answers],
        "categories": [answer.category for answer in answers],
        "areas": [answer.area for answer in answers],
        "error": None,
    }


def _threads_of_actor() -> int | None:
    """As many threads as Ray reserved for this actor; none says that the library decides."""
    import ray

    if not ray.is_initialized():
        return None
    context: Any = ray.get_runtime_context()
    reserved = context.get_assigned_resources().get("CPU", 0)
    return max(1, int(reserved)) if reserved else None
