"""The peer network held against the reference's own numbers, stage by stage."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peer import checkpoint, picture, query_decoder
from peer.config import NetworkConfig, biomedparse_v1
from peer.network import Network, normalized, similarity
from tests.golden import FLOORS, FULL, TINY, UNDECIDED, Case

FULL_CHECKPOINT = os.environ.get("MEDPARSE_FULL_CHECKPOINT")
"""A checkpoint of the published sizes with the weights of `medparse model init --deterministic`."""

needs_full = pytest.mark.skipif(
    FULL_CHECKPOINT is None or not FULL.is_dir(),
    reason="needs MEDPARSE_REFERENCE_DIR and MEDPARSE_FULL_CHECKPOINT",
)


@pytest.fixture(scope="module")
def tiny() -> Network:
    """The tiny network; its picture is 256 pixels wide, which its YAML does not say."""
    config = NetworkConfig.from_yaml(TINY / "tiny_config.yaml", image_size=256)
    return checkpoint.load(TINY / "tiny.pt", config)


@pytest.fixture(scope="module")
def full() -> Network:
    """The full-size network with deterministic weights."""
    assert FULL_CHECKPOINT is not None
    return checkpoint.load(Path(FULL_CHECKPOINT), biomedparse_v1())


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_tiny(tiny: Network, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(tiny, Case.read(TINY, name), TINY / "picture.png", monkeypatch)


@needs_full
@pytest.mark.parametrize("name", ["a", "c", "d"])
def test_full(full: Network, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case.read(FULL, name)
    compare(full, case, FULL / case.about["image"], monkeypatch)


NOT_STAGES = ("pre.image_u8", "text.input_ids", "text.attention_mask", "final.matched_id", "final.prob_gt_half")
"""What is compared by other means than nearness, or given to the network."""

NOT_COMPUTED = ("pred_logits", "matched_class", "class_prompts_embeddings")
"""What comes of the class bank, which the peers take from the model file."""

INSIDE = ("cross_mask", "dec.src.", "dec.pos.", "self_query_pos", "pixdec.pos_res5")
"""What is inside a module: the masks are compared where they are made, the rest through what they lead to."""


def compare(network: Network, case: Case, image_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a case through the network and compares every stage that the reference left."""
    stages: dict[str, Tensor] = {}
    image = picture.decode(image_path)
    with torch.inference_mode(), watched(network, stages, case), golden_masks(case, monkeypatch):
        pixels = torch.from_numpy(picture.preprocess(image, network.config))
        stages["pre.input"] = pixels
        mask_features, levels = network.encode_image(pixels)
        ids = torch.from_numpy(case.tensors["text.input_ids"].astype(np.int64))
        tokens = network.encode_text(ids)
        is_token = case.tensors["text.attention_mask"].astype(bool)
        words = tokens[torch.from_numpy(is_token)][None]
        heads = network.decode(mask_features, levels, words)
    last = heads[-1]
    sentences = tokens[torch.arange(len(ids)), ids.argmax(1)]
    likeness = similarity(last.class_embed[0], sentences, network.logit_scale)
    matched = likeness.argmax(0)
    logits, (width, height) = last.masks[0, matched], image.size
    probability = nn.functional.interpolate(logits[None], (height, width), mode="bilinear")[0].sigmoid()
    stages |= {
        "text.class_emb": sentences,
        "final.v_emb": normalized(last.class_embed[0]),
        "final.t_emb": normalized(sentences),
        "final.similarity": likeness,
        "final.pred_masks": last.masks,
        "final.pred_captions": last.class_embed,
        "final.matched_mask_logits": last.masks[0, matched],
        "final.prob": probability,
    }
    for index, head in enumerate(heads):
        stages[f"dec.heads.{index}.class_embed"] = head.class_embed
        stages[f"dec.heads.{index}.mask_embed"] = head.mask_embed
        stages[f"dec.heads.{index}.pred_masks"] = head.masks

    square = ((pixels[0] * std_of(network) + mean_of(network)).round()).to(torch.uint8)
    assert hashlib.sha256(square.numpy().tobytes()).hexdigest() == case.about["image_u8_sha256"]
    assert matched.tolist() == case.about["matched_id"]
    passed_over = [stage for stage in case.tensors if stage not in stages]
    assert all(
        stage in NOT_STAGES or stage.endswith(NOT_COMPUTED) or any(part in stage for part in INSIDE)
        for stage in passed_over
    ), passed_over
    for stage in case.tensors.keys() & stages.keys():
        case.assert_close(stage, stages[stage].numpy())
    if "final.prob_gt_half" in case.tensors:
        flipped = (probability.numpy() > 0.5) != case.bits("final.prob_gt_half")
        assert np.all(np.abs(probability.numpy()[flipped] - 0.5) <= UNDECIDED)


def mean_of(network: Network) -> Tensor:
    return torch.tensor(network.config.pixel_mean).view(3, 1, 1)


def std_of(network: Network) -> Tensor:
    return torch.tensor(network.config.pixel_std).view(3, 1, 1)


@contextmanager
def watched(network: Network, stages: dict[str, Tensor], case: Case) -> Iterator[None]:
    """Keeps what the reference kept of modules, under its names and in its layout, while it is open."""

    def keeper(stage: str, layout: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            del module, inputs
            stages[stage] = output.permute(0, 3, 1, 2) if layout == "channels first" else output

        return keep

    named = [(stage_of(path), module) for path, module in network.named_modules()]
    handles = [module.register_forward_hook(keeper(*stage)) for stage, module in named if stage[0] in case.tensors]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def stage_of(path: str) -> tuple[str, str]:
    """The reference's name of what a module gives, and its layout there; no name for what it did not keep."""
    head = "sem_seg_head."
    text = head + "predictor.lang_encoder.lang_encoder."
    for prefix, name in [
        (text + "token_embedding", "text.token_embedding_rows"),
        (text, "text."),
        (head + "predictor.lang_encoder", "text.token_emb"),
        (head + "pixel_decoder.transformer.", "pixdec."),
        (head + "pixel_decoder.", "pixdec."),
    ]:
        if path.startswith(prefix):
            return name + path.removeprefix(prefix), "as it is"
    for kind, name in [("cross", "cross_out"), ("self", "self_out"), ("ffn", "ffn_out")]:
        prefix = f"{head}predictor.transformer_{kind}_{'' if kind == 'ffn' else 'attention_'}layers."
        if path.startswith(prefix):
            return f"dec.layers.{path.removeprefix(prefix)}.{name}", "as it is"
    channels_first = path.endswith(("patch_embed", "downsample")) or path in {f"backbone.norm{n}" for n in range(4)}
    if path.startswith("backbone.norm"):
        path = f"backbone.res{int(path[-1]) + 2}"
    return path, "channels first" if channels_first else "as it is"


@contextmanager
def golden_masks(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Feeds the reference's attention masks on, after holding ours against them.

    A bit may differ where its logit is within rounding of the threshold; what follows is then compared for itself.
    """
    layers = itertools.count()
    ours = query_decoder.closed_positions

    def closed_positions(masks: Tensor, size: torch.Size) -> Tensor:
        layer = next(layers)
        stage = f"dec.layers.{layer}.cross_mask"
        expected = torch.from_numpy(case.bits(stage))[None]
        flipped = ours(masks, size) != expected
        logits = nn.functional.interpolate(masks, size, mode="bilinear", align_corners=False).flatten(2)
        near = FLOORS * case.floors[f"dec.heads.{layer}.pred_masks"]["max_abs"]
        assert bool((logits[flipped].abs() <= near).all()), f"{stage}: a bit differs that rounding does not explain"
        return expected

    with monkeypatch.context() as patch:
        patch.setattr(query_decoder, "closed_positions", closed_positions)
        yield
