"""How much memory the machine, control groups and the process's own limits still allow.

llama.cpp ends the process if an allocation fails in the middle of its work. So its needs are
compared with every limit beforehand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutOfMemoryError

if sys.platform != "win32":
    import resource

__all__ = [
    "LOADING_BYTES",
    "MemoryLimit",
    "available_memory",
    "control_groups",
    "memory_is_full",
    "memory_limits",
    "process_limits",
    "require_memory",
    "stack_bytes",
]

CGROUP_ROOT = Path("/sys/fs/cgroup")
LOADING_BYTES = 48 << 20
"""What loading an expert takes at least, threads included."""

UNLIMITED = 1 << 60
"""A control group writes a figure of at least this for no limit."""


@dataclass(frozen=True)
class MemoryLimit:
    """``free`` bytes ``where``. Every limit counts memory that is used; some also count what is
    reserved and not used yet, or files that are mapped into memory.
    """

    free: int
    where: str
    counts_reserved: bool = False
    counts_mapped: bool = False


def available_memory() -> int | None:
    """Bytes that can be allocated without swapping, or None where the system does not say."""
    return min((limit.free for limit in memory_limits()), default=None)


def require_memory(
    what: str,
    used: int,
    *,
    reserved: int = 0,
    mapped: int = 0,
    advice: str = "",
    process_only: bool = False,
) -> None:
    """Raise OutOfMemoryError, with the numbers, if ``what`` does not fit a limit.

    ``used``: bytes that will be written to; ``reserved``: more that is allocated; ``mapped``:
    files. ``process_only`` asks only the limits of the process, which is quick.
    """
    for limit in process_limits() if process_only else memory_limits():
        needed = used + reserved * limit.counts_reserved + mapped * limit.counts_mapped
        if needed > limit.free:
            raise OutOfMemoryError(
                f"{what} needs {needed / 1e6:.0f} MB; {max(0, limit.free) / 1e6:.0f} MB "
                f"{limit.where}" + ("\n" + advice if advice else "")
            )


def stack_bytes() -> int:
    """Bytes of address space that a thread's stack takes."""
    if sys.platform != "win32":
        soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
        return 8 << 20 if soft == resource.RLIM_INFINITY else int(soft)
    return 1 << 20


def memory_is_full(what: str) -> OutOfMemoryError:
    """The error for a MemoryError, which has no numbers."""
    least = min(memory_limits(), key=lambda limit: limit.free, default=None)
    left = "" if least is None else f"; {max(0, least.free) / 1e6:.0f} MB {least.where}"
    return OutOfMemoryError(f"{what} needs more memory than there is{left}")


def memory_limits() -> Iterator[MemoryLimit]:
    """All limits that there are."""
    if (free := _meminfo_available()) is not None:
        yield MemoryLimit(free, "of memory are free")
    yield from control_groups()
    yield from process_limits()


def process_limits() -> Iterator[MemoryLimit]:
    """The limits of this process (``ulimit -v`` and ``-d``)."""
    if sys.platform != "win32":
        address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
        data = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if address_space == data == resource.RLIM_INFINITY:
            return
        try:
            pages = Path("/proc/self/statm").read_text().split()
        except OSError:  # no Linux; others do not hold processes to these limits
            return
        size, private = (int(pages[column]) * resource.getpagesize() for column in (0, 5))
        if address_space != resource.RLIM_INFINITY:
            where = "of its address space are left to this process (RLIMIT_AS, 'ulimit -v')"
            yield MemoryLimit(address_space - size, where, counts_reserved=True, counts_mapped=True)
        if data != resource.RLIM_INFINITY:
            where = "of data are left to this process (RLIMIT_DATA, 'ulimit -d')"
            yield MemoryLimit(data - private, where, counts_reserved=True)
    yield from ()  # Windows has no such limits


def control_groups(
    members: Path = Path("/proc/self/cgroup"), root: Path = CGROUP_ROOT
) -> Iterator[MemoryLimit]:
    """The memory limits of this process's control groups (containers), version 1 and 2.

    A group's limit holds for all groups in it. What the group keeps of files in memory is given
    up when memory is wanted, so it counts as free.
    """
    try:
        lines = members.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top = root / "unified" if (root / "unified").is_dir() else root
            names = ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            top, names = (
                root / "memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
            )
        else:
            continue
        group = top / os.path.normpath("/" + path).lstrip("/")
        while True:
            if (free := _group_free(group, *names)) is not None:
                yield MemoryLimit(free, f"are left of the memory limit of the control group {path}")
            if group == top:
                break
            group = group.parent


def _group_free(group: Path, limit_file: str, usage_file: str, prefix: str) -> int | None:
    try:
        limit = (group / limit_file).read_text().strip()
        if limit == "max" or int(limit) >= UNLIMITED:
            return None
        usage = int((group / usage_file).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        files = sum(int(stat.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    except (OSError, ValueError):
        return None
    return int(limit) - max(0, usage - files)


def _meminfo_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
