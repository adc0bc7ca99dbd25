"""Makes the PyTorch files of this folder and expected.json, what each must read as.

Run with a Python that has torch (2.6.0 made the files here): python make_fixtures.py
"""

import collections
import io
import json
from pathlib import Path

import numpy
import torch

HERE = Path(__file__).parent
expected = {}


def stored(tensor):
    """Shape, element type and the little-endian C-order bytes of a tensor."""
    contiguous = tensor.detach().clone(memory_format=torch.contiguous_format)
    return {
        "shape": list(tensor.shape),
        "type": str(tensor.dtype).removeprefix("torch."),
        "bytes": contiguous.reshape(-1).view(torch.uint8).numpy().tobytes().hex(),
    }


def save(name, content, state_dict=None, **options):
    torch.save(content, HERE / name, **options)
    if state_dict is not None:
        expected[name] = [[key, stored(tensor)] for key, tensor in state_dict.items()]


ramp = torch.arange(24, dtype=torch.float32) / 8 - 1
matrix = ramp.reshape(4, 6)
views = collections.OrderedDict(
    zeta=ramp,  # the file's order is not the alphabet's
    shared=ramp,
    offset=ramp[5:11],
    reshaped_offset=ramp[4:20].reshape(4, 4),
    transposed=matrix.t(),
    column=matrix[:, 2],
    strided=ramp[1::3],
    permuted=ramp.reshape(2, 3, 4).permute(2, 0, 1),
    expanded=ramp[3:4].expand(5),
    scalar=torch.tensor(4.5),
    scalar_view=ramp[7],
    empty=torch.zeros(0, 3),
)
save("views.pt", views, views)

types = collections.OrderedDict(
    (str(dtype).removeprefix("torch."), (ramp * 3).to(dtype))
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
)
types["transposed_half"] = matrix.half().t()
types["special_half"] = torch.tensor([float("inf"), -0.0, 6e-8, 65504.0]).half()
integers = torch.tensor([0, 1, 2, 100])
for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
    types[str(dtype).removeprefix("torch.")] = integers.to(dtype)
for dtype in (torch.uint16, torch.uint32, torch.uint64):
    types[str(dtype).removeprefix("torch.")] = integers.to(dtype)
types["bool"] = torch.tensor([True, False, True])
save("types.pt", types, types)

torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
weights = module.state_dict()  # carries `_metadata`
save("state_dict.pt", weights, weights)
save("legacy.pt", views, views, _use_new_zipfile_serialization=False)
save("protocol4.pt", weights, weights, pickle_protocol=4)
save("parameters.pt", dict(module.named_parameters()), dict(module.named_parameters()))
buffer = io.BytesIO()
torch.save(weights, buffer)  # the top folder is `archive`
(HERE / "archive.pt").write_bytes(buffer.getvalue())
expected["archive.pt"] = expected["state_dict.pt"]

optimizer = torch.optim.AdamW(module.parameters())
module(torch.ones(4, 3)).sum().backward()
optimizer.step()
weights = module.state_dict()
training = {"epoch": 3, "best": numpy.float64(0.5), "optimizer": optimizer.state_dict()}
for key in ("state_dict", "model_state_dict", "model"):
    save(f"under_{key}.pt", training | {key: weights}, weights)

save("whole_module.pt", module)
save("one_tensor.pt", ramp)
save("list.pt", [ramp, ramp])
save("other_key.pt", {"ema": weights, "epoch": 3})
save("two_levels.pt", {"model": {"backbone": weights}})
save("numpy_weights.pt", {"a": ramp, "b": numpy.ones(3)})
save("sparse.pt", {"a": matrix.to_sparse()})

(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
