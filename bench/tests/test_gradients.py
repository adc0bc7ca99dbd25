"""The gradients that a training step follows, tensor by tensor, against the reference's."""

from __future__ import annotations

import json

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional as F

from peer import checkpoint, picture
from peer.config import NetworkConfig
from peer.network import similarity
from tests.golden import TINY, Case

NEAR = 1e-4
"""Greatest relative rms of a gradient's difference: f32 sums over all pixels, in another order than the reference's."""

NOTHING = 1e-6
"""Gradients that are zero but for rounding (a key's bias) are compared by this share of the greatest gradient."""


def test_tiny_gradients() -> None:
    case = Case.read(TINY, "a")
    about = json.loads((TINY / "gradients.json").read_text())
    expected = load_file(TINY / "gradients.safetensors")
    network = checkpoint.load(TINY / "tiny.pt", NetworkConfig.from_yaml(TINY / "tiny_config.yaml", image_size=256))
    network.requires_grad_(True)

    pixels = torch.from_numpy(picture.preprocess(picture.decode(TINY / "picture.png"), network.config))
    mask_features, levels = network.encode_image(pixels)
    ids = torch.from_numpy(case.tensors["text.input_ids"].astype(np.int64))
    tokens = network.encode_text(ids)
    words = tokens[torch.from_numpy(case.tensors["text.attention_mask"].astype(bool))][None]
    last = network.decode(mask_features, levels, words)[-1]
    sentences = tokens[torch.arange(len(ids)), ids.argmax(1)]
    matched = torch.tensor(about["matched"])
    logits = last.masks[0, matched]
    target = (uniform("loss.target", logits.numel()) > 0).float().view_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target)
    share = logits.sigmoid()
    overlap = 2 * (share * target).sum((1, 2)) + 1
    dice = (1 - overlap / (share.sum((1, 2)) + target.sum((1, 2)) + 1)).mean()
    chosen = F.cross_entropy(similarity(last.class_embed[0], sentences, network.logit_scale).T, matched)
    total = 5 * entropy + 5 * dice + 2 * chosen
    assert abs(total.item() - about["loss"]) < 1e-5 * about["loss"]
    total.backward()

    greatest = max(entry["max_abs"] for entry in about["gradients"].values())
    parameters = dict(network.named_parameters())
    for key, values in expected.items():
        ours = parameters[key].grad
        assert ours is not None, f"no gradient reached {key}"
        kept = ours.reshape(-1)[:: about["gradients"][key]["stride"]].numpy()
        difference = np.sqrt(((kept - values.reshape(-1)) ** 2).mean())
        size = np.sqrt((values**2).mean())
        assert difference <= NEAR * size + NOTHING * greatest, f"{key}: {difference:.2e} of {size:.2e}"


def uniform(key: str, count: int) -> Tensor:
    """`[count]` numbers of [-1, 1) that follow from a key, the rule of the deterministic test weights."""
    with np.errstate(over="ignore"):
        seed = np.uint64(0xCBF29CE484222325)
        for byte in key.encode():
            seed = (seed ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        z = seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return torch.from_numpy(((z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1).astype(np.float32))
