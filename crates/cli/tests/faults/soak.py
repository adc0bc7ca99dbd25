#!/usr/bin/env python3
"""Mixed traffic against `medparse serve`, while one thing after another goes wrong around it.

    crates/cli/tests/faults/soak.py PROGRAM [--minutes 30] [--write docs/reliability.md]

Whatever happens, an answer is the one that the untroubled server gave, or a refusal, or none; a server that ends is
started again, as systemd does; after each fault it answers rightly again. Anything else ends the soak with status 1.
Needs Linux, Python 3.10, a C compiler, and the right to mount (root, or user namespaces: `unshare -rm`).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from traffic import BODIES, Traffic, ask

PROJECT = Path(__file__).resolve().parents[4]
sys.path.insert(0, str(PROJECT / "bench"))
from peer.others import Others, sentence

MODEL = PROJECT / "testdata/tiny/tiny.pt"
MARKS = ("<!-- the soak's table -->\n", "<!-- end of the table -->\n")


class Server:
    """The program, started again whenever it ends."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.model = folder / "model.safetensors"
        run(program, "model", "convert", MODEL, self.model)
        self.flag = folder / "reads-fail"
        self.disk = folder / "disk"
        shim = folder / "read_errors.so"
        run("cc", "-shared", "-fPIC", "-O1", "-o", shim, Path(__file__).with_name("read_errors.c"), "-ldl")
        self._command = [program, "serve", "--port", str(self.port), "--image-size", "64", "--threads", "1"]
        self._command += ["--model", self.model, "--audit", self.disk / "audit.jsonl", "--idle-timeout", "5s"]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MEDPARSE_")},
            "MEDPARSE_STATE": str(self.disk / "state"),
            "MEDPARSE_CACHE": str(folder / "cache"),
            "RUST_LOG": "warn",
            "LD_PRELOAD": str(shim),
            "FAULT_FLAG": str(self.flag),
            "FAULT_SUFFIX": "-faulty.safetensors",
        }
        self.program = program
        self.ends: list[int] = []
        # How much of the log earlier rounds have looked at.
        self.log_read = 0
        self._wanted = True
        self.process = self._start()
        threading.Thread(target=self._keep, daemon=True).start()

    def _start(self) -> subprocess.Popen:
        log = open(self.folder / "log", "ab")  # noqa: SIM115, the server goes on with it
        with log:
            return subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def _keep(self) -> None:
        while self._wanted:
            status = self.process.wait()
            if self._wanted:
                self.ends.append(status)
                time.sleep(0.2)
                self.process = self._start()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if ask(self.port, BODIES[0])[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"the server does not get ready:\n{(self.folder / 'log').read_text()[-3000:]}")

    def verb(self, *arguments: object) -> subprocess.CompletedProcess:
        """Another command of the program on the same state."""
        command = [str(part) for part in (self.program, *arguments)]
        environment = {name: value for name, value in self._environment.items() if name != "LD_PRELOAD"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def limit(self, what: int, soft: int | None) -> None:
        """Lowers a limit of the running process, or gives it back."""
        hard = resource.prlimit(self.process.pid, what)[1]
        resource.prlimit(self.process.pid, what, (hard if soft is None else soft, hard))

    def state(self) -> str:
        """What the server's threads are at, and the end of its log."""
        alive = "runs" if self.process.poll() is None else f"ended with {self.process.returncode}"
        tasks = sorted(Path(f"/proc/{self.process.pid}/task").glob("*")) if alive == "runs" else []
        threads = [f"{(task / 'comm').read_text().strip()}: {(task / 'wchan').read_text()}" for task in tasks]
        return "\n".join([f"the server {alive}", *threads, (self.folder / "log").read_text()[-3000:]])

    def stop(self) -> int:
        self._wanted = False
        self.process.terminate()
        return self.process.wait(120)


# Each fault: what is done, for how long, and how it is undone. The sentence is that of the table.


def disk_full(server: Server) -> None:
    """the disk of state and audit log is full"""
    filler = server.disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                file.write(b"0")
        except OSError:
            pass
    change = server.verb("keys", "create", "--scope", "score")
    if change.returncode == 0:
        raise SystemExit("a key was made on a full disk")
    time.sleep(3)
    filler.unlink()


def read_errors(server: Server) -> None:
    """reads of a model's file fail (EIO) while a deployment loads it"""
    faulty = server.folder / "second-faulty.safetensors"
    shutil.copyfile(server.model, faulty)
    server.flag.touch()
    deploy(server, "faulty", faulty)
    expect_refusal(server, "faulty", "error")
    server.flag.unlink()
    remove(server, "faulty")


def model_truncated(server: Server) -> None:
    """the model's file is cut to half in place while it is served, and put back"""
    whole = server.model.read_bytes()
    os.truncate(server.model, len(whole) // 2)
    time.sleep(2)
    with open(server.model, "r+b") as file:
        file.write(whole)


def model_replaced(server: Server) -> None:
    """the model's file is replaced by rubbish (rename) while it is served, and put back"""
    kept = server.folder / "kept"
    os.link(server.model, kept)
    rubbish = server.folder / "rubbish"
    rubbish.write_bytes(os.urandom(100_000))
    os.replace(rubbish, server.model)
    time.sleep(2)
    os.replace(kept, server.model)


def broken_deployment(server: Server) -> None:
    """a deployment is made of half a model's file"""
    half = server.folder / "half.safetensors"
    content = server.model.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    deploy(server, "half", half)
    expect_refusal(server, "half", "bytes")
    remove(server, "half")


def memory_limit(server: Server) -> None:
    """no more memory is given (ulimit -v at what is taken)"""
    # Processes that end give their limit back with themselves.
    process = server.process
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
    taken = pages * os.sysconf("SC_PAGE_SIZE")
    hard = resource.prlimit(process.pid, resource.RLIMIT_AS)[1]
    resource.prlimit(process.pid, resource.RLIMIT_AS, (taken, hard))
    body = b'{"input_data": "' + b"A" * (30 << 20) + b'"}'
    callers = [threading.Thread(target=quietly, args=(server, body)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    # It may have ended just now.
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None and process is server.process:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (hard, hard))


def stopped(server: Server) -> None:
    """SIGSTOP, three seconds, SIGCONT"""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    server.process.send_signal(signal.SIGCONT)


def descriptors(server: Server) -> None:
    """no file descriptor is left: 64 are allowed, 200 connections stand open"""
    server.limit(resource.RLIMIT_NOFILE, 64)
    standing = []
    try:
        for _ in range(200):
            standing.append(socket.create_connection(("127.0.0.1", server.port), timeout=2))
    except OSError:
        pass
    time.sleep(3)
    server.limit(resource.RLIMIT_NOFILE, None)
    for connection in standing:
        connection.close()


def killed(server: Server) -> None:
    """SIGKILL"""
    server.process.kill()
    time.sleep(0.5)


def changes(server: Server) -> None:
    """no fault: deployments and keys come and go"""
    deploy(server, "green", server.model)
    key = server.verb("keys", "create", "--scope", "metrics", "--expires", "1d")
    if key.returncode != 0:
        raise SystemExit(f"a key could not be made: {key.stderr}")
    remove(server, "green")


FAULTS = [
    changes,
    disk_full,
    read_errors,
    model_replaced,
    broken_deployment,
    stopped,
    descriptors,
    killed,
    memory_limit,
    model_truncated,
]
# Faults that may end the process; the supervisor starts it again.
MAY_END = {killed, memory_limit, model_truncated}


def deploy(server: Server, name: str, model: Path) -> None:
    done = server.verb("endpoint", "create", "medparse", "--deployment", name, "--model", model)
    if done.returncode != 0:
        raise SystemExit(f"the deployment {name} could not be made: {done.stderr}")


def remove(server: Server, name: str) -> None:
    done = server.verb("endpoint", "delete", "medparse", "--deployment", name)
    if done.returncode != 0:
        raise SystemExit(f"the deployment {name} could not be deleted: {done.stderr}")


def expect_refusal(server: Server, deployment: str, word: str) -> None:
    """A deployment whose model could not be read answers nobody, and the log says why."""
    deadline = time.monotonic() + 30
    while True:
        status, reply = ask(server.port, BODIES[0], deployment=deployment)
        log = (server.folder / "log").read_text()[server.log_read :]
        if status == 200:
            raise SystemExit(f"{deployment} answered with {reply[:200]!r}")
        if any(deployment in line and word in line for line in log.splitlines()):
            server.log_read += len(log)
            return
        if time.monotonic() > deadline:
            raise SystemExit(
                f"{deployment} answers {status} {reply[:300]!r}, and the log says no {word!r}:\n{log[-2000:]}"
            )
        time.sleep(0.2)


def quietly(server: Server, content: bytes) -> None:
    try:
        ask(server.port, content, patience=20)
    except OSError:
        pass
    except Exception as error:  # noqa: BLE001, a connection that broke off is what this is about
        if not type(error).__module__.startswith("http"):
            raise


@dataclass
class Outcome:
    """What a fault came to, over all its rounds."""

    rounds: int = 0
    ends: collections.Counter = field(default_factory=collections.Counter)
    replies: collections.Counter = field(default_factory=collections.Counter)
    recovery: float = 0.0


def soak(program: Path, minutes: float, folder: Path) -> tuple[dict, float]:
    """Goes through the faults again and again; what each came to, and the seconds that all of it took."""
    disk = folder / "disk"
    disk.mkdir()
    # Room for the audit log of half an hour.
    run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk)
    server = Server(program, folder)
    started = time.monotonic()
    outcomes = {fault: Outcome() for fault in FAULTS}
    try:
        server.wait_ready()
        traffic = Traffic(server.port, callers=4)
        while True:
            for fault in FAULTS:
                traffic.take()
                ended = len(server.ends)
                fault(server)
                seconds = traffic.wait_right(60)
                if seconds is None:
                    raise SystemExit(f"no right answer within 60 s after: {fault.__doc__}\n{server.state()}")
                outcome = outcomes[fault]
                outcome.rounds += 1
                outcome.replies += traffic.take()
                outcome.recovery = max(outcome.recovery, seconds)
                outcome.ends.update(name_of(status) for status in server.ends[ended:])
                if traffic.wrong:
                    raise SystemExit(f"wrong answers: {traffic.wrong[:3]}")
                if len(server.ends) > ended and fault not in MAY_END:
                    raise SystemExit(f"the server ended ({server.ends[ended:]}) during: {fault.__doc__}")
            print(f"{(time.monotonic() - started) / 60:.1f} min, {outcomes[killed].rounds} rounds", flush=True)
            if time.monotonic() - started > minutes * 60:
                break
        traffic.stop()
        status = server.stop()
        if traffic.wrong or status != 0:
            raise SystemExit(f"at the end: status {status}, wrong answers {traffic.wrong[:3]}")
        return outcomes, time.monotonic() - started
    finally:
        if server.process.poll() is None:
            server.stop()
        run("umount", disk)


def name_of(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def table(outcomes: dict, seconds: float, others: float | None) -> str:
    """The page's part that the soak writes; `others` are the cores that other processes used meanwhile, if known."""
    total = sum((outcome.replies for outcome in outcomes.values()), collections.Counter())
    lines = [
        f"{seconds / 60:.0f} minutes, {sum(total.values())} requests, {outcomes[killed].rounds} rounds of {len(FAULTS)}"
        f" faults: {total['right']} right answers, {total['WRONG']} wrong ones.",
        "",
        "| fault | process | replies while it lasted and until the next right answer | longest until that answer |",
        "|---|---|---|---|",
    ]
    for fault, outcome in outcomes.items():
        ends = ", ".join(f"{name} × {count}" for name, count in outcome.ends.items())
        replies = ", ".join(f"{count} {name}" for name, count in outcome.replies.most_common())
        lines.append(
            f"| {fault.__doc__} | {f'ended ({ends}), started again' if ends else 'goes on'} | {replies} |"
            f" {outcome.recovery:.1f} s |"
        )
    machine = f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines += ["", f"Machine: {machine}; {sentence(others)}", ""]
    return "\n".join(lines)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--write", type=Path, help="the page whose table is written anew")
    arguments = parser.parse_args()
    # Mounts are private to the soak: they end with it.
    if os.environ.get("MEDPARSE_SOAK") != "1":
        how = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
        os.environ["MEDPARSE_SOAK"] = "1"
        os.execvp(how[0], [*how, sys.executable, *sys.argv])
    watch = Others()
    with tempfile.TemporaryDirectory() as folder:
        outcomes, seconds = soak(arguments.program.resolve(), arguments.minutes, Path(folder))
    written = table(outcomes, seconds, watch.cores())
    print(written)
    if arguments.write:
        page = arguments.write.read_text()
        before, rest = page.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        arguments.write.write_text(before + MARKS[0] + "\n" + written + "\n" + MARKS[1] + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
