"""What this machine has: physical cores and memory.

Threads beyond the physical cores make llama.cpp slower, because its threads
wait for each other after every operation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["available_memory", "physical_cores"]


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


def available_memory() -> int | None:
    """Bytes that can be allocated without swapping, or None where the system does not say.

    The smaller of what the machine and what this process's control group
    (containers) still have.
    """
    figures = [value for value in (_meminfo_available(), _cgroup_available()) if value is not None]
    return min(figures) if figures else None


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


def _meminfo_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _cgroup_available() -> int | None:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        return int(limit) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
