"""The physical cores of this machine.

Threads beyond the physical cores make llama.cpp slower, because its threads
wait for each other after every operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["physical_cores"]


def physical_cores() -> int:
    """Physical cores that this process may use; on Apple silicon the fast ones only."""
    usable = _usable_cpus()
    if sys.platform == "darwin":
        for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
            if count := _sysctl(name):
                return min(count, len(usable))
    cores = set()
    for cpu in usable:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            package = (topology / "physical_package_id").read_text().strip()
            cores.add((package, (topology / "core_id").read_text().strip()))
        except OSError:
            # Windows, and Linux without /sys: two hardware threads a core is the usual case.
            return max(1, len(usable) // 2) if len(usable) > 2 else len(usable)
    return max(1, len(cores))


def _usable_cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _sysctl(name: str) -> int | None:
    try:
        out = subprocess.run(  # noqa: S603 - a fixed program with fixed names
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=True
        ).stdout
        return int(out)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
