"""Models: loaded, asked, asked again, from other threads and other processes."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medparse

from .conftest import TINY


def test_one_mask_and_category_per_phrase(model, discs):
    answers = model.segment(discs, ["liver", "spleen"])
    assert [answer.prompt for answer in answers] == ["liver", "spleen"]
    answer = answers["liver"]
    assert answer.mask.dtype == np.bool_ and answer.mask.shape == (60, 80)
    assert answer.probability is not None and answer.probability.dtype == np.float32
    assert np.array_equal(answer.mask, answer.probability > 0.5)
    assert answer.area == answer.mask.sum() > 0
    x, y, width, height = answer.box
    assert answer.mask[y : y + height, x : x + width].sum() == answer.area
    assert answer.presence is None, "this network has no such head"
    with pytest.raises(KeyError):
        answers["kidney"]


def test_whatever_holds_the_picture_the_answer_is_the_same(model, discs, tmp_path):
    path = tmp_path / "discs.png"
    Image.fromarray(discs).save(path)
    expected = model.segment(discs, "liver")[0].mask
    alpha = np.dstack([discs, np.zeros((60, 80), np.uint8)])
    for image in [
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        Image.open(path),
        discs[:, :, 0],
        alpha,
        discs[:, :, ::-1],
        np.asfortranarray(discs),
        medparse.read(path),
        model.encode(discs),
    ]:
        assert np.array_equal(model.segment(image, "liver")[0].mask, expected), type(image)


def test_an_encoded_picture_is_asked_again(model, discs):
    encoded = model.encode(discs)
    assert encoded.size == (80, 60) and encoded.nbytes > 0
    for phrases in ["liver", "liver & spleen"]:
        asked, whole = model.segment(encoded, phrases), model.segment(discs, phrases)
        assert all(np.array_equal(a.mask, b.mask) for a, b in zip(asked, whole, strict=True))


def test_asking_alone_is_another_question(model, discs):
    together = model.segment(discs, "liver & spleen")[0].probability
    alone = model.segment(discs, "liver & spleen", independent=True)[0].probability
    assert np.array_equal(alone, model.segment(discs, "liver")[0].probability)
    assert not np.array_equal(alone, together)


@pytest.mark.parametrize(
    ("image", "prompts", "error", "sentence"),
    [
        ("absent.png", "liver", FileNotFoundError, "absent.png"),
        (b"rubbish", "liver", medparse.MedparseError, "unknown format|not a"),
        (np.zeros((4, 4, 7), np.uint8), "liver", ValueError, "expected .* found shape"),
        (3, "liver", TypeError, "expected a NumPy array"),
        (np.zeros((4, 4), np.uint8), [], ValueError, "no prompt"),
        (np.zeros((4, 4), np.uint8), "a & & b", ValueError, "phrase 2 of 3 is empty"),
        (np.zeros((4, 4), np.uint8), [7], TypeError, "phrase 1"),
        (np.zeros((4, 4), np.uint8), None, TypeError, "prompts: expected phrases"),
        (np.zeros((4, 4), np.uint8), ["a & b"], ValueError, "phrase 1: .* separates phrases"),
        (np.zeros((4, 4, 3)), "liver", ValueError, r"\(array \* 255\)"),
        (np.zeros((3, 8, 9), np.uint8), "liver", ValueError, "channels come last"),
        (np.zeros((9, 8, 7)), "liver", ValueError, "Volume.from_array"),
        (io.StringIO("text"), "liver", TypeError, "open for bytes"),
    ],
)
def test_what_cannot_be_asked_is_named(model, image, prompts, error, sentence):
    with pytest.raises(error, match=f"(?i){sentence}"):
        model.segment(image, prompts)


def test_settings_that_cannot_be_meant_are_named(model, discs):
    with pytest.raises(TypeError, match="threshold: expected a number, found str"):
        model.segment(discs, "liver", threshold="half")
    with pytest.raises(ValueError, match="threshold: expected a probability"):
        model.segment(discs, "liver", threshold=2)
    with pytest.raises(ValueError, match="index and plane choose a slice of a volume"):
        model.segment(discs, "liver", index=1)
    with pytest.raises(ValueError, match="threads: expected 1 or more, found -1"):
        medparse.load(threads=-1)


def test_errors_travel_to_other_processes(model):
    with pytest.raises(medparse.MedparseError) as caught:
        model.segment(b"rubbish", "liver")
    travelled = pickle.loads(pickle.dumps(caught.value))
    assert type(travelled) is medparse.MedparseError and str(travelled) == str(caught.value)


@pytest.mark.parametrize("threads", [None, 2])
def test_a_signal_ends_an_encoding(threads):
    # Large enough to take longer than the pauses between two looks at signals.
    model = medparse.load(TINY, image_size=1536, threads=threads)
    pixels = np.random.default_rng(3).integers(0, 256, (1536, 1536), dtype=np.uint8)
    picture = medparse.Volume.from_array(pixels[np.newaxis]).picture()
    ended = model.segment(picture, "liver").seconds
    assert ended is not None
    alarm = threading.Timer(ended / 8, os.kill, [os.getpid(), signal.SIGINT])
    alarm.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(50):
            model.segment(picture, "liver")
    alarm.join()
    assert model.segment(picture, "liver")[0].mask.shape == (1536, 1536)


@pytest.mark.parametrize("threads", [None, 2])
def test_a_signal_ends_a_volume_long_before_its_last_slice(threads):
    model = medparse.load(TINY, image_size=256, threads=threads)
    values = np.random.default_rng(3).normal(size=(400, 64, 64))
    began = time.perf_counter()
    model.segment_volume(values[:4], "liver")
    four = time.perf_counter() - began
    alarm = threading.Timer(2 * four, os.kill, [os.getpid(), signal.SIGINT])
    began = time.perf_counter()
    alarm.start()
    with pytest.raises(KeyboardInterrupt):
        model.segment_volume(values, "liver")
    assert time.perf_counter() - began < 50 * four, "half of the slices take as long"
    alarm.join()


def test_models_that_cannot_be_loaded_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        medparse.load(tmp_path / "nowhere.pt")
    (tmp_path / "rubbish.safetensors").write_bytes(b"rubbish")
    with pytest.raises(medparse.MedparseError, match="rubbish"):
        medparse.load(tmp_path / "rubbish.safetensors")


def test_the_bundled_model_says_what_it_knows():
    model = medparse.load()
    assert model.name == "medparse-small" and model.precision == "f32"
    assert "nuclei" in {target["target"] for target in model.targets}
    assert model.outside("nuclei") is None
    assert "trained" in model.outside("moon rock")


def test_several_threads_share_a_model(model, discs):
    expected = model.segment(discs, "liver")[0].mask
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda _: model.segment(discs, "liver")[0].mask, range(12))
        assert all(np.array_equal(mask, expected) for mask in found)


def test_a_model_travels_as_its_name(model, discs):
    travelled = pickle.loads(pickle.dumps(model))
    assert np.array_equal(
        travelled.segment(discs, "liver")[0].mask, model.segment(discs, "liver")[0].mask
    )


def test_the_command_gives_the_same_masks(model, discs, command, tmp_path):
    Image.fromarray(discs).save(tmp_path / "discs.png")
    subprocess.run(
        [
            command,
            "segment",
            "discs.png",
            "-p",
            "liver & spleen",
            "-o",
            "out",
            "--json",
            "--model",
            str(TINY),
            "--image-size",
            "64",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    for answer in model.segment(discs, "liver & spleen"):
        mask = np.asarray(Image.open(tmp_path / "out" / f"discs__{answer.prompt}.png")) > 0
        assert np.array_equal(mask, answer.mask)


def test_pictures_of_answers(model, discs, tmp_path):
    answers = model.segment(discs, "liver & spleen")
    assert answers._repr_png_().startswith(b"\x89PNG")
    assert answers.overlay().shape[2] == 3
    answers[0].save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match="ends in .png"):
        answers[0].save(tmp_path / "mask.jpg")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        answers[0].save(tmp_path / "absent" / "mask.png")
    saved = np.asarray(Image.open(tmp_path / "mask.png"))
    assert np.array_equal(saved > 0, answers[0].mask) and set(np.unique(saved)) <= {0, 255}
    assert answers[0].dice(answers[0].mask) == 1.0
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    assert answers.plot().images
    pyplot.close("all")


def test_preparing_is_undone(discs):
    prepared = medparse.prepare(discs, 128)
    assert prepared.image.shape == (128, 128, 3)
    x, y, width, height = prepared.box
    assert (x, width) == (0, 128) and height == pytest.approx(96) and y == pytest.approx(16)
    mask = prepared.image[:, :, 0] > 115
    back = prepared.undo(mask)
    assert back.shape == (60, 80)
    assert np.mean(back == (discs[:, :, 0] > 115)) > 0.97
    with pytest.raises(ValueError, match="expected a mask of shape"):
        prepared.undo(mask[:, :, np.newaxis])


def test_evaluation_measures_each_target(model, discs, tmp_path):
    for folder in ["test", "test_mask"]:
        (tmp_path / folder).mkdir()
    for name in ["a", "b"]:
        Image.fromarray(discs).save(tmp_path / "test" / f"{name}_microscopy_cell.png")
        mask = (discs[:, :, 0] > 100).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "test_mask" / f"{name}_microscopy_cell_nuclei.png")
    report = medparse.evaluate(model, tmp_path, resamples=20)
    (target,) = report["targets"]
    assert target["target"] == "nuclei" and target["n"] == 2
    assert 0 <= target["dice"]["low"] <= target["dice"]["mean"] <= target["dice"]["high"] <= 1
    json.dumps(report)


def test_the_stubs_name_what_is_there():
    stub = (Path(medparse.__file__).parent / "_medparse.pyi").read_text()
    for name in dir(medparse._medparse):
        if not name.startswith("_"):
            assert name in stub, name
