"""Mixed traffic against a server whose right answers are known, and a record of what came back."""

from __future__ import annotations

import base64
import collections
import http.client
import json
import random
import socket
import struct
import threading
import time
import zlib

PICTURES = 6
SIDE = 96


def png(seed: int) -> bytes:
    """A grey picture of noise, as PNG."""
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(SIDE) for _ in range(SIDE))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def body(seed: int) -> bytes:
    """A scoring request for one picture."""
    row = [base64.b64encode(png(seed)).decode(), "liver & spleen"]
    return json.dumps({"input_data": {"columns": ["image", "text"], "index": [0], "data": [row]}}).encode()


BODIES = [body(seed) for seed in range(PICTURES)]


def ask(port: int, content: bytes, path: str = "/score", deployment: str | None = None, patience: float = 60):
    """Status and body of one request; raises OSError or HTTPException where no reply came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        headers = {"Content-Type": "application/json"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        connection.request("POST", path, content, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


class Traffic:
    """Callers that go on until they are stopped, whatever happens to the server."""

    def __init__(self, port: int, callers: int) -> None:
        self.port = port
        # A reply that differs from that of the untroubled server is a wrong answer.
        self.right = [self._first(content) for content in BODIES]
        self.record: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        # When the right answer whose question began last was asked for, and when it was there.
        self.last_right = (0.0, 0.0)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        works = [self._questions] * callers + [self._rubbish, self._leavers]
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def _first(self, content: bytes) -> bytes:
        status, reply = ask(self.port, content)
        if status != 200:
            raise SystemExit(f"the untroubled server answered {status}: {reply[:300]!r}")
        return reply

    def take(self) -> collections.Counter[str]:
        """What came back since the last call."""
        with self._lock:
            taken, self.record = self.record, collections.Counter()
        return taken

    def wait_right(self, patience: float) -> float | None:
        """Seconds until the right answer to a question that is asked from now on; none where it does not come."""
        started = time.monotonic()
        while self.last_right[0] <= started:
            if time.monotonic() - started > patience:
                return None
            time.sleep(0.02)
        return self.last_right[1] - started

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(70)

    def _note(self, what: str) -> None:
        with self._lock:
            self.record[what] += 1

    def _questions(self) -> None:
        while not self._stopped.is_set():
            which = random.randrange(PICTURES)
            started = time.monotonic()
            try:
                status, reply = ask(self.port, BODIES[which])
            except (OSError, http.client.HTTPException):
                self._note("no reply")
                time.sleep(0.1)
                continue
            if status != 200:
                self._note(str(status))
                time.sleep(0.05)
            elif reply == self.right[which]:
                self._note("right")
                self.last_right = max(self.last_right, (started, time.monotonic()))
            else:
                self._note("WRONG")
                self.wrong.append(f"picture {which}: {reply[:200]!r}")
            time.sleep(random.random() * 0.02)

    def _rubbish(self) -> None:
        """Bodies that must be refused, whatever else goes on."""
        bodies = [b"{", b"[]" * 50_000, BODIES[0][:-200], b'{"input_data": {"columns": ["image"], "data": [["!"]]}}']
        while not self._stopped.is_set():
            try:
                status, reply = ask(self.port, random.choice(bodies))
                if status < 400:
                    self.wrong.append(f"rubbish was answered: {reply[:200]!r}")
                self._note("rubbish refused" if status >= 400 else "WRONG")
            except (OSError, http.client.HTTPException):
                self._note("no reply")
            time.sleep(0.2)

    def _leavers(self) -> None:
        """Callers that go before they are answered."""
        head = b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        while not self._stopped.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as caller:
                    content = BODIES[1]
                    caller.sendall(
                        head + str(len(content)).encode() + b"\r\n\r\n" + content[: random.choice([100, len(content)])]
                    )
                    time.sleep(random.random() * 0.02)
                self._note("left")
            except OSError:
                self._note("no reply")
            time.sleep(0.2)
