"""`medparse.ray.Segmenter` on a real Ray: each row once, whatever happens to an actor."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import medparse

from ..conftest import TINY
from .boot import boot

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data,serve]'")
pytest.importorskip("pyarrow")

from medparse.ray import Segmenter

LOADING = {"image_size": 64, "threads": 1}


class Watched(Segmenter):
    """A Segmenter that says in a folder which process it is."""

    def __init__(self, folder: str, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self._mark = os.path.join(folder, str(os.getpid()))

    def __call__(self, batch):
        answered = super().__call__(batch)
        with open(self._mark, "a") as file:
            file.write("batch\n")
        return answered


@pytest.fixture(scope="module", autouse=True)
def cluster():
    boot(3)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Forty small pictures that differ."""
    folder = tmp_path_factory.mktemp("scans")
    chance = np.random.default_rng(7)
    for at in range(40):
        pixels = chance.integers(0, 256, (24 + at % 5, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"s{at:02}.png")
    return folder


def test_rows_get_the_masks_that_the_library_gives(scans, model):
    torn = scans.parent / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n\x1a\n")
    paths = [str(scans / f"s{at:02}.png") for at in range(6)]
    table = [{"id": at, "image": path, "text": "liver & spleen"} for at, path in enumerate(paths)]
    table[3]["text"] = "lung"
    table += [
        {"id": 6, "image": str(torn), "text": "liver"},
        {"id": 7, "image": "absent.png", "text": "liver"},
        {"id": 8, "image": paths[0], "text": "liver & "},
    ]
    answered = (
        ray.data.from_items(table)
        .map_batches(
            Segmenter,
            fn_constructor_args=[TINY],
            fn_constructor_kwargs=LOADING,
            compute=ray.data.ActorPoolStrategy(size=1),
            batch_size=2,
        )
        .take_all()
    )
    rows = {row["id"]: row for row in answered}
    assert len(answered) == len(rows) == 9
    for at, path in enumerate(paths):
        expected = model.segment(path, table[at]["text"])
        masks = [np.asarray(Image.open(io.BytesIO(png))) for png in rows[at]["masks"]]
        assert rows[at]["error"] is None and len(masks) == len(expected)
        for mask, answer in zip(masks, expected, strict=True):
            assert np.array_equal(mask == 255, answer.mask)
        assert list(rows[at]["categories"]) == [answer.category for answer in expected]
        assert list(rows[at]["areas"]) == [answer.area for answer in expected]
    assert rows[6]["error"].startswith("MedparseError: ")
    assert "absent.png" in rows[7]["error"]
    assert "phrase 2 of 2 is empty" in rows[8]["error"]


def test_arrays_are_pictures_and_phrases_may_be_given_once(scans, model):
    answered = (
        ray.data.read_images(str(scans), include_paths=True)
        .map_batches(
            Segmenter,
            fn_constructor_args=[TINY],
            fn_constructor_kwargs={**LOADING, "prompts": ["liver"], "keep": ["path"]},
            compute=ray.data.ActorPoolStrategy(size=1),
            batch_size=8,
        )
        .take_all()
    )
    assert len(answered) == 40
    for row in answered[::9]:
        assert row["areas"][0] == model.segment(row["path"], "liver")[0].area


def test_a_killed_actor_costs_no_row(scans, tmp_path):
    table = [{"id": at, "image": str(scans / f"s{at % 40:02}.png")} for at in range(400)]
    killed: list[int] = []

    def kill_one() -> None:
        # Both are at work, and the first has work left.
        while len(os.listdir(tmp_path)) < 2:
            time.sleep(0.01)
        killed.append(int(os.listdir(tmp_path)[0]))
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    answered = (
        ray.data.from_items(table, override_num_blocks=50)
        .map_batches(
            Watched,
            fn_constructor_args=[str(tmp_path), TINY],
            fn_constructor_kwargs={**LOADING, "prompts": "liver"},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=4,
        )
        .take_all()
    )
    assert killed, "the run ended before an actor could be killed"
    assert len(os.listdir(tmp_path)) >= 3, "another took its place"
    assert Counter(row["id"] for row in answered) == Counter(range(400))
    assert all(row["error"] is None and len(row["masks"]) == 1 for row in answered)
    alone = medparse.load(TINY, **LOADING)
    for row in answered[::57]:
        picture = scans / f"s{row['id'] % 40:02}.png"
        assert row["areas"][0] == alone.segment(picture, "liver")[0].area
