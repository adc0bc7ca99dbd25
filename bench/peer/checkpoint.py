"""Checkpoints: the published `.pt` and medparse's safetensors, loaded strictly into the network."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from .config import NetworkConfig
from .network import Network

NETWORK_KEY = "medparse.network"
"""The metadata of a safetensors file under which medparse keeps the configuration."""

CLASS_BANK_KEY = "medparse.class_bank"
"""The 17 class rows that medparse stores beside a network's own weights."""

_UNUSED = (
    "dilation_kernel",
    "criterion.empty_weight",
    "sem_seg_head.predictor.mask_sptial_embed.",
    "sem_seg_head.predictor.spatial_embed.",
    "sem_seg_head.predictor.spatial_featured.",
    "sem_seg_head.predictor.pn_indicator.",
    "sem_seg_head.predictor.lang_encoder.biomed_encoder.",
    CLASS_BANK_KEY,
)
"""Beginnings of keys that a checkpoint may hold though text prompting never reads them."""


def read_config(path: Path) -> NetworkConfig:
    """The sizes that a safetensors file of medparse carries."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if NETWORK_KEY not in metadata:
        raise ValueError(f"{path} has no {NETWORK_KEY} in its metadata: give the network's YAML")
    return NetworkConfig.from_json(metadata[NETWORK_KEY])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a `.pt` state dict or a safetensors file, by key."""
    if path.suffix != ".safetensors":
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return tensors
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - a file is no dictionary.


def load(path: Path, config: NetworkConfig) -> Network:
    """The network with the file's weights, in f32 and ready to answer.

    Raises RuntimeError naming the keys where one is missing, misshapen or unknown.
    """
    tensors = {key: tensor for key, tensor in read_tensors(path).items() if not key.startswith(_UNUSED)}
    with torch.device("meta"):
        network = Network(config)
    network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, assign=True)
    return network.eval().requires_grad_(False)
