"""The table: medians, ratios within rounds, overlap of masks."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from peer.report import Answer, Report, without_folders


def answer(total_ms: float, mask: list[int], others: float | None = 0.01) -> Answer:
    masks = base64.b64encode(np.array(mask, np.uint8).tobytes()).decode()
    return Answer(
        total_ms, vision_ms=total_ms / 2, decoder_ms=total_ms / 4, rest_ms=total_ms / 4, masks=masks, others=others
    )


def report(rounds: list[dict[str, Answer]]) -> Report:
    names = rounds[0].keys()
    return Report(
        model="m.safetensors",
        picture="p.png",
        prompts=["liver"],
        image_size=64,
        threads=2,
        cores=[0, 1],
        machine={"processor": "a processor", "cores": 2, "memory": 2**34, "system": "a system"},
        participants={name: {"options": {"runtime": name}, "start_s": 1.0, "peak_rss": 10**9} for name in names},
        rounds=rounds,
        command="python bench/run.py",
    )


def test_ratios_are_taken_within_a_round() -> None:
    # The machine slows down threefold in the second round, and the ratio stays.
    found = report(
        [
            {"medparse f32": answer(500, [255, 0]), "openvino f32": answer(1000, [255, 0])},
            {"medparse f32": answer(1500, [255, 0]), "openvino f32": answer(3000, [255, 0])},
            {"medparse f32": answer(700, [255, 0]), "openvino f32": answer(1000, [255, 0])},
        ]
    )
    assert found.ratio("medparse f32", "openvino f32") == pytest.approx(0.5)
    assert found.median("medparse f32", "total_ms") == pytest.approx(0.7)
    assert "| over openvino f32 | 0.50 |" in found.markdown()


def test_dice_counts_all_masks() -> None:
    found = report([{"medparse f32": answer(1, [255, 255, 0, 0]), "openvino f32": answer(1, [255, 0, 0, 0])}])
    assert found.dice("medparse f32") == pytest.approx(2 / 3)
    assert found.dice("openvino f32") == 1.0
    assert report([{"medparse f32": answer(1, [0, 255])}]).dice("medparse f32") is None


def test_a_disturbed_machine_is_named() -> None:
    quiet = report([{"medparse f32": answer(1, [0])}])
    busy = report([{"medparse f32": answer(1, [0], others=0.9)}])
    unknown = report([{"medparse f32": answer(1, [0], others=None)}])
    assert "not to be trusted" not in quiet.markdown()
    assert "not to be trusted" in busy.markdown()
    assert "was not recorded" in unknown.markdown()


def test_commands_name_no_folder() -> None:
    assert without_folders(["--model", "/somewhere/full.safetensors", "-p", "optic disc"]) == [
        "--model",
        "full.safetensors",
        "-p",
        '"optic disc"',
    ]
