"""The participants: processes that answer the same picture, one at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .config import NetworkConfig

START_SECONDS = 600
ANSWER_SECONDS = 600
SMALLEST_CACHE_MIB = "1"
"""Less than one encoded picture, so that none is kept and every request is a whole one."""


@dataclass(frozen=True)
class Setting:
    """What everybody gets."""

    model: Path
    picture: Path
    prompts: list[str]
    threads: int
    graphs: Path
    config: NetworkConfig | None = None
    """What medparse reads from the model itself; the others need it."""

    def folder(self) -> Path:
        """Where the graphs of this model and question lie; another question has another folder."""
        about = [str(self.model), self.model.stat().st_mtime_ns, str(self.picture), self.prompts]
        return self.graphs / hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    def asked(self, runtime: str, precision: str) -> str:
        """The worker's orders as JSON."""
        assert self.config is not None
        return json.dumps(
            {
                "runtime": runtime,
                "precision": precision,
                "model": str(self.model),
                "network": self.config.to_json(),
                "graphs": str(self.folder()),
                "picture": str(self.picture),
                "prompts": self.prompts,
                "threads": self.threads,
            }
        )

    def export(self) -> None:
        """Writes the graphs, in a process of its own, whose memory is given back."""
        if not (self.folder() / "question.onnx").is_file():
            command = [sys.executable, "-m", "peer.export", self.asked("export", "f32")]
            subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[1], stdout=sys.stderr)


class Participant(ABC):
    """A process that keeps its model and answers when asked."""

    name: str
    options: dict[str, Any]
    start_s: float
    process: subprocess.Popen[str]

    @abstractmethod
    def ask(self) -> dict[str, Any]:
        """One whole request: milliseconds by stage, and the masks in base64."""

    def peak_rss(self) -> int:
        """The process's greatest resident memory so far, in bytes, mapped files included."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name} does not tell its peak memory")

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.wait()


class Peer(Participant):
    """Another runtime, in `peer.worker`."""

    def __init__(self, setting: Setting, runtime: str, precision: str) -> None:
        self.name = f"{runtime} {precision}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peer.worker", setting.asked(runtime, precision)],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._line()
        self.options, self.start_s = ready["options"], ready["start_s"]

    def ask(self) -> dict[str, Any]:
        """One whole request."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found


def packed(model: Path, precision: str, program: Path, folder: Path) -> Path:
    """The model with its weights packed, as `medparse model convert` writes it, once for each program and model.

    The peers' graphs are exported beforehand as well; neither export counts.
    """
    about = [str(model), model.stat().st_mtime_ns, program.stat().st_mtime_ns]
    name = f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}-{precision}.safetensors"
    if not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"*-{precision}.safetensors"):
            old.unlink()
        command = [str(program), "model", "convert", str(model), str(folder / name), "--packed", precision]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder / name


class Medparse(Participant):
    """`medparse serve`, asked over HTTP as a client would, its weights packed beforehand.

    Its cache of encoded pictures is too small to hold one, unless another size is given (in MiB).
    """

    def __init__(self, setting: Setting, precision: str, program: Path, encodings: str = SMALLEST_CACHE_MIB) -> None:
        self.name = f"medparse {precision}"
        self.state = tempfile.TemporaryDirectory()
        self.log = (Path(self.state.name) / "log").open("w+")
        model = packed(setting.model, precision, program, setting.graphs)
        command = [str(program), "serve", "--port", "0", "--model", str(model), "--log", "json"]
        command += ["--threads", str(setting.threads), "--encodings", encodings, "--state", self.state.name]
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.address = self._address()
        self._wait_until_ready()
        self.start_s = time.perf_counter() - begun
        version = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
        self.options = {"runtime": version.stdout.strip(), "precision": precision, "threads": setting.threads}
        self.body = body([setting.picture.read_bytes()], setting.prompts)

    def score(self, question: bytes) -> tuple[float, bytes]:
        """One request: its milliseconds, as its client sees it, and the reply."""
        request = urllib.request.Request(
            f"{self.address}/score", question, {"Content-Type": "application/json"}, method="POST"
        )
        begun = time.perf_counter()
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:
            text = reply.read()
        return 1e3 * (time.perf_counter() - begun), text

    def ask(self) -> dict[str, Any]:
        """One whole request, as its client sees it; the stages are those of the server's log."""
        seen = self.log_lines()
        total, text = self.score(self.body)
        stages = self._stages(seen)
        vision, decoder = stages["encode_ms"], stages["ask_ms"]
        masks = json.loads(json.loads(text)[0]["image_features"])["data"]
        rest = total - vision - decoder
        return {"total_ms": total, "vision_ms": vision, "decoder_ms": decoder, "rest_ms": rest, "masks": masks}

    def close(self) -> None:
        """Ends the server and forgets its state."""
        super().close()
        self.log.close()
        self.state.cleanup()

    def log_lines(self) -> int:
        """How many requests the log tells of."""
        return sum(1 for entry in entries(self.log) if entry.get("route") == "/score")

    def _stages(self, seen: int) -> dict[str, Any]:
        """The log's line of the request after the first `seen`; it is written just behind the reply."""
        for _ in range(200):
            told = [entry for entry in entries(self.log) if entry.get("route") == "/score"]
            if len(told) > seen:
                return told[-1]
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} logged no request")

    def _address(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("scoring URI"):
                return line.split()[-1].removesuffix("/score")
        raise RuntimeError(f"{self.name} did not start: {Path(self.log.name).read_text().strip()}")

    def _wait_until_ready(self) -> None:
        for _ in range(START_SECONDS * 20):
            try:
                with urllib.request.urlopen(f"{self.address}/ready", timeout=5):
                    return
            except (urllib.error.URLError, TimeoutError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready: {Path(self.log.name).read_text().strip()}")


def body(pictures: list[bytes], prompts: list[str]) -> bytes:
    """A request of a row for each picture, the same phrases for each."""
    rows = [[base64.b64encode(picture).decode(), " & ".join(prompts)] for picture in pictures]
    question = {"columns": ["image", "text"], "index": list(range(len(rows))), "data": rows}
    return json.dumps({"input_data": question}).encode()


def entries(log: TextIO) -> list[dict[str, Any]]:
    """The lines of a log of JSON objects; a line still being written is left out."""
    lines = Path(log.name).read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith("{")]
