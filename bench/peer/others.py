"""How much of the machine other processes used while something was measured. Linux alone; needs nothing but Python."""

from __future__ import annotations

import os
import time
from pathlib import Path

DISTURBED = 0.1
"""Cores that others used on average, beyond which figures are not to be trusted."""

PROC = Path("/proc")


class Others:
    """A watch over what is used by processes that are neither this one nor begun by it.

    The busy time of all cores, what a hypervisor took away included, less the processor time of this process and of
    all that came of it. The load average would not do: it counts the measured threads themselves, and remembers the
    step before.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._busy, self._own = machine_seconds(), own_seconds()

    def cores(self) -> float | None:
        """Cores in use by others since the watch began, on average; none where the system does not tell."""
        busy = machine_seconds()
        if self._busy is None or busy is None:
            return None
        used = (busy - self._busy) - (own_seconds() - self._own)
        # The two clocks tick apart: a difference below zero is nothing.
        return max(0.0, used) / max(time.monotonic() - self._begun, 1e-9)


def sentence(cores: float | None) -> str:
    """What others used, for the line beside the figures."""
    if cores is None:
        return "what other processes used was not recorded."
    said = f"other processes used {cores:.2f} cores meanwhile."
    return f"{said} **So times are not to be trusted.**" if cores > DISTURBED else said


def machine_seconds() -> float | None:
    """Busy seconds of all cores since the machine began, time that a hypervisor took away included."""
    try:
        words = (PROC / "stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; what guests used is part of user and nice.
    ticks = [int(word) for word in words[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process, of its living descendants, and of those that ended and were waited for."""
    parents, used = {}, {}
    for entry in PROC.iterdir() if PROC.is_dir() else []:
        if not entry.name.isdecimal():
            continue
        try:
            # The name, in brackets, may hold spaces and brackets itself.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It ended just now.
        parents[int(entry.name)] = int(fields[1])
        # Its own time in user and system mode, and that of the children it waited for.
        used[int(entry.name)] = sum(int(field) for field in fields[11:15])
    total, mine = 0, {os.getpid()}
    while mine:
        total += sum(used.get(process, 0) for process in mine)
        mine = {process for process, parent in parents.items() if parent in mine}
    return total / os.sysconf("SC_CLK_TCK")
