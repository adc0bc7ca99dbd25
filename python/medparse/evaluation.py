"""How good a model is on labelled pictures."""

from __future__ import annotations

import json
import os
from typing import Any

from . import _medparse
from .model import Model


def evaluate(
    model: Model,
    dataset: str | os.PathLike[str],
    *,
    split: str | None = None,
    together: bool = False,
    presence_threshold: float | None = None,
    absent: int = 3,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Measures a model on a folder of labelled pictures, as ``medparse evaluate --json`` does.

    :param dataset: a folder with an ``index.json``, or with ``train/``, ``train_mask/``, ``test/``
        and ``test_mask/``.
    :param split: ``"all"``, ``"train"``, ``"validation"`` or ``"test"``; the test part by default,
        everything where there is none.
    :param together: ask for all targets of a picture together instead of each for itself.
    :param absent: things that are not there and are asked for in each picture, at most.
    :param resamples: resamples behind each 95 % interval.
    """
    report = _medparse.evaluate(
        model._model,
        os.fspath(dataset),
        {
            "split": split,
            "together": together,
            "presence_threshold": presence_threshold,
            "absent": absent,
            "resamples": resamples,
            "seed": seed,
        },
    )
    return json.loads(report)  # type: ignore[no-any-return]
