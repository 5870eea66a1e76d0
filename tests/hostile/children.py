"""Opens one package after the other, each in a child process under caps.

The parent imports everything once and forks, so that a child costs milliseconds and its
memory counts from there. What a child may not do: end by a signal, take more than
`CPU_SECONDS` or `MEMORY` above its start, show a traceback or the word "defect", or
print more than a screen for a refusal.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CPU_SECONDS", "MEMORY", "Outcome", "open_under_caps", "outcomes", "prepare"]

CPU_SECONDS = 10
MEMORY = 512 << 20
"""Bytes of address space above what the parent has, for ``inspect``."""

LOADING = 768 << 20
"""The same for loading, which maps llama.cpp's library and computes with it."""

WALL_SECONDS = 300
"""Until a child that neither computes nor ends is given up."""

REFUSAL_BYTES = 20_000


@dataclass(frozen=True)
class Outcome:
    """What became of one step (``inspect`` or ``load``).

    ``result``: ``shown``, ``loaded`` (and asked for a token), ``refused``, or what must not
    happen. ``megabytes`` above the start.
    """

    result: str
    cpu_seconds: float
    megabytes: float
    detail: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nothing happened that must not."""
        return self.result in ("shown", "loaded", "refused")


def prepare() -> None:
    """Import in this process what every child needs."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import numpy  # noqa: F401
    from hivellm_lite.converters import base  # noqa: F401
    from hivellm_lite.converters.forms import lora, low_rank, variant  # noqa: F401
    from hivellm_lite.converters.peft import adapter  # noqa: F401

    from hivellm_lite.cli import inspect, main  # noqa: F401


def open_under_caps(step: str, package: Path, base: Path, folder: Path) -> Outcome:
    """``step`` is "inspect" or "load"; ``folder`` takes the cache."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(step, package, base, folder, writing)
    os.close(writing)
    start = _resident()
    status, usage = _wait(pid)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    cpu = usage.ru_utime + usage.ru_stime
    megabytes = max(0.0, usage.ru_maxrss / 1024 - start)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Outcome(f"ended by {name}", cpu, megabytes)
    result, detail = json.loads(answer)
    if cpu > CPU_SECONDS:
        result = "over the time"
    return Outcome(result, cpu, megabytes, detail)


def _wait(pid: int) -> tuple[int, resource.struct_rusage]:
    deadline = time.monotonic() + WALL_SECONDS
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += WALL_SECONDS
        time.sleep(0.005)


def _resident() -> float:
    """Megabytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _child(step: str, package: Path, base: Path, folder: Path, writing: int) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    memory = size + (LOADING if step == "load" else MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = 1 if step == "trap" else CPU_SECONDS + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    with tempfile.TemporaryFile() as log, Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 2)
        os.dup2(log.fileno(), 1)
        try:
            result, detail = _STEPS[step](package, base, folder)
        except MemoryError:
            result, detail = "out of memory", traceback.format_exc(limit=-4)
        except BaseException:
            result, detail = "an exception", traceback.format_exc(limit=-6)
        written = os.fstat(log.fileno()).st_size
        if result in ("shown", "loaded", "refused") and written > REFUSAL_BYTES:
            result, detail = "a flood of messages", f"{written} bytes"
    os.write(writing, json.dumps([result, detail[-3000:]]).encode())
    os._exit(0)


def _inspect(package: Path, _base: Path, folder: Path) -> tuple[str, str]:
    from hivellm_lite.cli.main import main

    output, errors = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main(["--cache-dir", str(folder / "cache"), "inspect", str(package)])
        except SystemExit as error:
            code = error.code
    said = errors.getvalue()
    if "Traceback" in said or "defect" in said:
        return "a defect", said[:2000]
    if "MemoryError" in said:
        return "out of memory", said[:2000]
    if len(said) > REFUSAL_BYTES or len(output.getvalue()) > REFUSAL_BYTES + _size(package):
        return "a flood of messages", f"{len(said)} and {len(output.getvalue())} characters"
    return ("shown" if code == 0 else "refused"), said[:300]


def _size(package: Path) -> int:
    manifest = package / "manifest.json" if package.is_dir() else package
    return min(2 << 20, 4 * manifest.stat().st_size) if manifest.is_file() else 0


def _load(package: Path, base: Path, folder: Path) -> tuple[str, str]:
    from hivellm_lite.errors import ExpertError, OutOfMemoryError
    from hivellm_lite.expert import Expert

    # A package with a base of its own is loaded on it.
    own = (package / "base").is_dir() or _archive_has_base(package)
    try:
        with Expert.load(
            package,
            base=None if own else base,
            cache_dir=folder / "cache",
            device="cpu",
            n_ctx=64,
            n_threads=1,
            max_streams=1,
            offline=True,
        ) as expert:
            expert.generate("a", max_tokens=1)
            return "loaded", ""
    except OutOfMemoryError as error:
        return "out of memory", str(error)
    except ExpertError as error:
        text = str(error)
        if len(text) > REFUSAL_BYTES:
            return "a flood of messages", f"{len(text)} characters"
        return "refused", text[:300]


def _spring(package: Path, _base: Path, _folder: Path) -> tuple[str, str]:
    """What must not happen, to see that it would be seen."""
    if package.name == "crash":
        os.abort()
    if package.name == "hang":
        while True:
            pass
    if package.name == "fill the memory":
        return str(len(bytes(2 * MEMORY))), ""
    if package.name == "flood":
        os.write(1, b"x" * (REFUSAL_BYTES + 1))
        return "refused", ""
    raise RuntimeError(package.name)


_STEPS = {"inspect": _inspect, "load": _load, "trap": _spring}


def _archive_has_base(package: Path) -> bool:
    return package.is_file() and b"base/config.json" in _names(package)


def _names(package: Path) -> bytes:
    import gzip
    import zlib

    data = package.read_bytes()[: 64 << 20]
    if not data.startswith(b"\x1f\x8b"):
        return data
    with contextlib.suppress(EOFError, OSError, zlib.error), gzip.open(package) as file:
        return file.read(8 << 20)
    return b""


def outcomes(package: Path, base: Path, folder: Path) -> Iterator[tuple[str, Outcome]]:
    """Both steps, the second only for a package that can be shown."""
    first = open_under_caps("inspect", package, base, folder)
    yield "inspect", first
    if first.result == "shown":
        yield "load", open_under_caps("load", package, base, folder)
