"""What PyTorch makes of this crate's files, and this crate of PyTorch's, in two steps that torch_interop.rs drives.

    python torch_interop.py write FOLDER    writes from_torch.pt and from_torch.safetensors, the same random tensors
    python torch_interop.py check FOLDER    checks every ours*.pt and ours*.safetensors against from_torch.safetensors
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def tensors():
    """Random tensors of every kind a checkpoint may hold, many of them views of one storage."""
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(40, 50, generator=generator)
    integers = torch.randint(0, 100, (7, 3), generator=generator)
    made = {
        "linear.weight": base,
        "tied.weight": base,
        "rows": base[3:17],
        "columns": base[:, 5:11],
        "transposed": base.t(),
        "every_third": base.reshape(-1)[1::3],
        "half": base.half(),
        "half_transposed": base.half().t(),
        "brain": base.bfloat16()[1:],
        "double": base.double(),
        "scalar": base[2, 3],
        "empty": base[:0],
        "expanded": base[:1].expand(9, 50),
        "truth": integers > 50,
    }
    names = "int64 int32 int16 int8 uint8 uint16 uint32 uint64".split()
    return made | {name: integers.to(getattr(torch, name)) for name in names}


def write(folder):
    made = tensors()
    torch.save(made, folder / "from_torch.pt")
    torch.save(made, folder / "from_torch_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": made, "epoch": 1}, folder / "from_torch_nested.pt")
    save_file({name: tensor.clone().contiguous() for name, tensor in made.items()}, folder / "from_torch.safetensors")


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def check(folder):
    expected = load_file(folder / "from_torch.safetensors")
    loaded = {
        path.name: torch.load(path, weights_only=True) if path.suffix == ".pt" else load_file(path)
        for path in sorted(folder.glob("ours*"))
    }
    # The memory map finds each storage by its place in the archive instead of by its entry.
    loaded["ours.pt, mapped"] = torch.load(folder / "ours.pt", weights_only=True, mmap=True)
    for file, found in loaded.items():
        assert set(found) == set(expected), (file, set(found) ^ set(expected))
        for name, tensor in found.items():
            assert tensor.dtype == expected[name].dtype, (file, name, tensor.dtype)
            assert tensor.shape == expected[name].shape, (file, name, tensor.shape)
            assert tensor.is_contiguous() and not tensor.requires_grad, (file, name)
            assert torch.equal(bits(tensor), bits(expected[name])), (file, name)
        print(f"{file}: {len(found)} tensors equal to the bit")
    assert len(loaded) == 6, sorted(loaded)


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
