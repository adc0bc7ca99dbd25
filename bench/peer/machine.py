"""What the machine is and how busy it is, for the record beside every number."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil


def describe() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, load averages over 1, 5 and 15 minutes, versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": psutil.virtual_memory().total,
        "load": list(os.getloadavg()),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def sentence() -> str:
    """The same in one line."""
    about = describe()
    load = ", ".join(f"{value:.2f}" for value in about["load"])
    return (
        f"{about['processor']}, {about['cores']} cores, {about['memory'] / 2**30:.0f} GiB, {about['system']}, "
        f"Python {about['python']}, load {load}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
