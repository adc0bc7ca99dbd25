"""The runtimes medparse is measured against, each with the settings that make it fastest on a few cores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """What is run: a model, phrases, the folder of its exported graphs, the picture's size `(W, H)`, threads."""

    model: Path
    graphs: Path
    ids: np.ndarray
    lengths: list[int]
    size: tuple[int, int]
    threads: int
    precision: str


class Runtime(ABC):
    """A loaded network. Importing a runtime happens when one is made, so that each process holds one alone."""

    options: dict[str, Any]
    """Version and settings, for the record."""

    @abstractmethod
    def __init__(self, task: Task) -> None:
        """Loads the network."""

    @abstractmethod
    def vision(self, image: np.ndarray) -> Any:  # noqa: ANN401 - each runtime has its own tensors.
        """Encodes `[1, 3, S, S]`."""

    @abstractmethod
    def question(self, encoded: Any) -> np.ndarray:  # noqa: ANN401
        """Probabilities `[n, H, W]` for an encoded picture."""


class Torch(Runtime):
    """PyTorch eager: fused attention, and autocast for bf16, which keeps norms and the softmax in f32."""

    def __init__(self, task: Task) -> None:
        import torch

        from . import checkpoint
        from .graphs import Question, Vision

        torch.set_num_threads(task.threads)
        torch.set_num_interop_threads(1)
        network = checkpoint.load(task.model, checkpoint.read_config(task.model))
        self.torch = torch
        self.precision = task.precision
        self.encoder, self.decoder = Vision(network), Question(network, task.lengths, task.size)
        self.ids = torch.from_numpy(task.ids)
        self.options = {
            "runtime": f"PyTorch {torch.__version__}",
            "mode": "eager, inference_mode",
            "bf16": "autocast" if task.precision == "bf16" else "off",
            "intra-op threads": torch.get_num_threads(),
            "oneDNN": torch.backends.mkldnn.is_available(),
        }

    def _run(self, module: Any, *inputs: Any) -> Any:  # noqa: ANN401
        torch = self.torch
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            return module(*inputs)

    def vision(self, image: np.ndarray) -> Any:  # noqa: ANN401
        """Encodes `[1, 3, S, S]`."""
        return self._run(self.encoder, self.torch.from_numpy(image))

    def question(self, encoded: Any) -> np.ndarray:  # noqa: ANN401
        """Probabilities `[n, H, W]` for an encoded picture."""
        return self._run(self.decoder, *encoded, self.ids)[0].float().numpy()


class OnnxRuntime(Runtime):
    """ONNX Runtime on its CPU provider."""

    def __init__(self, task: Task) -> None:
        import onnxruntime

        if task.precision != "f32":
            raise ValueError(f"ONNX Runtime computes f32 on this processor; {task.precision} was asked for")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = task.threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        settings.enable_cpu_mem_arena = True
        settings.enable_mem_pattern = True
        # Threads spin while a request runs, and stop with it, so that they do not disturb another's turn.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        # Denormals would slow single products down; the other runtimes flush them too.
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
        self.sessions = [
            onnxruntime.InferenceSession(task.graphs / f"{name}.onnx", settings, ["CPUExecutionProvider"])
            for name in ("vision", "question")
        ]
        self.ids = task.ids
        self.options = {
            "runtime": f"ONNX Runtime {onnxruntime.__version__}",
            "graph optimisation": "all",
            "memory arena and pattern": "on",
            "execution": "sequential",
            "intra-op threads": task.threads,
            "denormals": "zero",
        }

    def vision(self, image: np.ndarray) -> Any:  # noqa: ANN401
        """Encodes `[1, 3, S, S]`."""
        return self._run(0, [image])

    def question(self, encoded: Any) -> np.ndarray:  # noqa: ANN401
        """Probabilities `[n, H, W]` for an encoded picture."""
        return self._run(1, [*encoded, self.ids])[0]

    def _run(self, index: int, inputs: list[np.ndarray]) -> Any:  # noqa: ANN401
        session = self.sessions[index]
        names = [given.name for given in session.get_inputs()]
        return session.run(None, dict(zip(names, inputs, strict=True)))


class OpenVino(Runtime):
    """OpenVINO on its CPU plugin."""

    def __init__(self, task: Task) -> None:
        import openvino as ov

        core = ov.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": task.precision,
            "INFERENCE_NUM_THREADS": task.threads,
            "NUM_STREAMS": 1,
        }
        self.requests = [
            core.compile_model(core.read_model(task.graphs / f"{name}.onnx"), "CPU", settings).create_infer_request()
            for name in ("vision", "question")
        ]
        self.ids = task.ids
        compiled = self.requests[0].get_compiled_model()
        self.options = {"runtime": f"OpenVINO {ov.__version__}"} | {
            key: str(compiled.get_property(key)) for key in (*settings, "EXECUTION_MODE_HINT", "ENABLE_CPU_PINNING")
        }

    def vision(self, image: np.ndarray) -> Any:  # noqa: ANN401
        """Encodes `[1, 3, S, S]`."""
        found = self.requests[0].infer([image], share_inputs=True, share_outputs=True)
        return [found[index] for index in range(len(found))]

    def question(self, encoded: Any) -> np.ndarray:  # noqa: ANN401
        """Probabilities `[n, H, W]` for an encoded picture."""
        return self.requests[1].infer([*encoded, self.ids], share_inputs=True, share_outputs=True)[0]


RUNTIMES: dict[str, type[Runtime]] = {"pytorch": Torch, "onnxruntime": OnnxRuntime, "openvino": OpenVino}
