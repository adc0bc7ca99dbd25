"""Models: loaded, asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from . import _medparse
from ._medparse import Encoded as _Encoded
from ._medparse import Picture
from .pictures import ImageLike, picture_of, volume_of
from .results import Segmentations, VolumeSegmentation, _answers


def sentences_of(prompts: str | Sequence[str]) -> list[str]:
    """Phrases as a list: of one text, ``&`` separates them."""
    if not isinstance(prompts, (str, Iterable)):
        raise TypeError(
            f'prompts: expected phrases, as in ["nuclei"], found {type(prompts).__name__}'
        )
    sentences = prompts.split("&") if isinstance(prompts, str) else list(prompts)
    if not sentences:
        raise ValueError('no prompt: say what to look for, as in ["nuclei"]')
    for position, sentence in enumerate(sentences, start=1):
        if not isinstance(sentence, str):
            raise TypeError(
                f"phrase {position}: expected a string, found {type(sentence).__name__}"
            )
        if not sentence.strip():
            raise ValueError(f"phrase {position} of {len(sentences)} is empty")
        if "&" in sentence:
            raise ValueError(
                f'phrase {position}: "&" separates phrases: give each as a string of its own'
            )
    return [sentence.strip() for sentence in sentences]


class Encoded:
    """A picture as one model sees it: ask about it as often as you like."""

    def __init__(self, encoded: _Encoded, picture: Picture) -> None:
        self._encoded = encoded
        self._picture = picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self._encoded.size

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self._encoded.nbytes

    def __repr__(self) -> str:
        width, height = self.size
        return f"Encoded({width} × {height} px, {self.nbytes / 1e6:.1f} MB)"


class Model:
    """A loaded model; made by :func:`load`. It may be asked from several threads at once."""

    def __init__(self, source: str, options: dict[str, Any]) -> None:
        self._source = source
        self._options = options
        self._model = _medparse.Model.load(source, **options)
        self._card: dict[str, Any] = json.loads(self._model.card)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process loads the model for itself: a file of weights is mapped, not sent.
        return Model, (self._source, self._options)

    def encode(
        self,
        image: ImageLike,
        *,
        window: str = "auto",
        index: int | None = None,
        plane: str | None = None,
    ) -> Encoded:
        """Does what depends on the picture alone, most of the work, once for any number of questions."""
        picture = picture_of(image, window=window, index=index, plane=plane)
        return Encoded(self._model.encode(picture), picture)

    def segment(
        self,
        image: ImageLike | Encoded,
        prompts: str | Sequence[str],
        *,
        threshold: float = 0.5,
        presence_threshold: float | None = None,
        independent: bool = False,
        window: str = "auto",
        index: int | None = None,
        plane: str | None = None,
    ) -> Segmentations:
        """One mask and one category per phrase.

        :param image: a NumPy array, a PIL image, a path, bytes, an open file, a :class:`Volume`,
            or what :meth:`encode` made of one.
        :param prompts: phrases, or one text in which ``&`` separates them.
        :param threshold: a pixel belongs to a mask where its probability is greater.
        :param presence_threshold: a mask is empty where the thing is there with a probability below
            this; of models that estimate it.
        :param independent: ask each phrase for itself. Otherwise the phrases see each other, as in
            the reference: a mask may change when another phrase is asked beside it.
        :param window: how measured values become grays: ``"40/400"`` (centre and width), a site such
            as ``"abdomen"``, ``"percentiles"``, ``"stored"``, ``"full"`` or ``"auto"``.
        :param index: of a volume, which slice.
        :param plane: of a volume, ``"stored"``, ``"axial"``, ``"coronal"`` or ``"sagittal"``.
        """
        asking = _asking(threshold, presence_threshold, independent)
        sentences = sentences_of(prompts)
        if isinstance(image, Encoded):
            return _answers(image._picture, *self._model.ask(image._encoded, sentences, asking))
        picture = picture_of(image, window=window, index=index, plane=plane)
        return _answers(picture, *self._model.segment(picture, sentences, asking))

    def segment_volume(
        self,
        volume: ImageLike,
        prompts: str | Sequence[str],
        *,
        threshold: float = 0.5,
        presence_threshold: float | None = None,
        independent: bool = False,
        window: str = "auto",
        plane: str | None = None,
        smooth: bool = False,
        largest: bool = False,
    ) -> list[VolumeSegmentation]:
        """One mask per phrase of a volume, whose slices are asked one by one.

        :param volume: a :class:`Volume`, a path, the bytes of a file, an open file, or an array
            ``[slices, rows, columns]``.
        :param smooth: mix each slice's probabilities with its neighbours'.
        :param largest: keep each target's largest connected piece only.
        """
        scan = volume_of(volume)
        found = self._model.segment_volume(
            scan,
            sentences_of(prompts),
            _asking(threshold, presence_threshold, independent),
            plane=plane,
            window=window,
            smooth=smooth,
            largest=largest,
        )
        return [
            VolumeSegmentation(
                answer.prompt,
                answer.mask,
                answer.probability,
                answer.category,
                answer.presence,
                scan,
            )
            for answer in found
        ]

    def recognize(
        self,
        image: ImageLike,
        kind: str,
        *,
        presence_threshold: float | None = None,
        window: str = "auto",
        index: int | None = None,
        plane: str | None = None,
    ) -> Segmentations:
        """Everything that a kind of picture, such as ``"CT-Abdomen"``, can hold, without a phrase."""
        picture = picture_of(image, window=window, index=index, plane=plane)
        return _answers(picture, self._model.recognize(picture, kind, presence_threshold))

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self._card["name"])

    @property
    def card(self) -> dict[str, Any]:
        """What the model says of itself: summary, targets with their Dice, calibration."""
        return json.loads(self._model.card)  # type: ignore[no-any-return]

    @property
    def targets(self) -> list[dict[str, Any]]:
        """What it was trained to find, with the Dice of each."""
        return list(self._card["targets"])

    def outside(self, phrase: str) -> str | None:
        """Why a phrase is outside what the model was trained to find; none where it is inside."""
        return self._model.outside(phrase)

    @property
    def precision(self) -> str:
        """The arithmetic it computes in: ``"f32"``, ``"bf16"`` or ``"int8"``."""
        return self._model.precision

    @property
    def image_size(self) -> int:
        """Side of the square that it looks at, in pixels."""
        return self._model.image_size

    @property
    def fit(self) -> str:
        """How it is shown pictures that are not square: ``"stretch"`` or ``"pad"``."""
        return self._model.fit

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.precision}, {self.image_size} px)"


def _asking(
    threshold: float, presence_threshold: float | None, independent: bool
) -> dict[str, Any]:
    for name, value in [("threshold", threshold), ("presence_threshold", presence_threshold)]:
        if not isinstance(value, Real) and not (value is None and name != "threshold"):
            raise TypeError(f"{name}: expected a number, found {type(value).__name__}")
    return {
        "threshold": threshold,
        "presence_threshold": presence_threshold,
        "independent": independent,
    }


def load(
    source: str | os.PathLike[str] = "bundled",
    *,
    config: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    fit: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> Model:
    """Loads a model.

    :param source: ``"bundled"``, a ``.pt`` or ``.safetensors`` file, or ``"hub:owner/name"``.
    :param config: the network's YAML, where it is neither in the model file nor beside it.
    :param image_size: side of the model's square, where the configuration is to be overruled.
    :param fit: ``"stretch"`` or ``"pad"``, where the model's card is to be overruled.
    :param precision: ``"f32"`` (as the reference), ``"bf16"`` or ``"int8"``.
    :param threads: threads of the model's own; all cores, shared by all models, by default.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads: expected 1 or more, found {threads}")
    return Model(
        os.fspath(source),
        {
            "config": None if config is None else os.fspath(config),
            "image_size": image_size,
            "fit": fit,
            "precision": precision,
            "threads": threads,
        },
    )
