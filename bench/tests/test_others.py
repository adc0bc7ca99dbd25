"""The watch over other processes: it counts theirs and not ours."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from peer import others

BUSY_SECONDS = 2
WORK = f"import time\nwhile time.process_time() < {BUSY_SECONDS}: pass"


@pytest.mark.skipif(others.machine_seconds() is None, reason="this system does not tell what its processes use")
def test_own_work_is_own_while_it_runs_and_after() -> None:
    before = others.own_seconds()
    with subprocess.Popen([sys.executable, "-c", WORK]) as child:
        time.sleep(1)
        living = others.own_seconds() - before
        child.wait()
    assert living > 0.2
    assert others.own_seconds() - before == pytest.approx(BUSY_SECONDS, abs=0.5)


@pytest.mark.skipif(others.machine_seconds() is None, reason="this system does not tell what its processes use")
def test_a_strangers_work_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # With no process of our own, all that the machine does is a stranger's.
    monkeypatch.setattr(others, "own_seconds", lambda: 0.0)
    watch = others.Others()
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", WORK], check=True)
    used = watch.cores()
    assert used is not None
    assert used * (time.monotonic() - begun) > 0.9 * BUSY_SECONDS


def test_the_sentence_says_when_times_are_not_to_be_trusted() -> None:
    assert "not to be trusted" in others.sentence(0.5)
    assert "not to be trusted" not in others.sentence(0.02)
    assert "not recorded" in others.sentence(None)
