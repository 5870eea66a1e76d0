"""A process of its own for what needs one: memory, and what is set before llama.cpp loads."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_alone(function: Callable[..., _T], *arguments: Any, **environment: str | None) -> _T:
    """``function(*arguments)`` in a fresh process with these variables in its environment, those
    of value None taken out of it.
    """
    before = dict(os.environ)
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def proportional_bytes(process: int | str = "self") -> int:
    """Proportional set of a process: a page of a file counts once, however often it is mapped.
    Other processes that map the same file at the time share in it (Linux).
    """
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def resident_bytes(process: int | str = "self") -> int:
    """Resident set of a process, its pages of mapped files included (Linux)."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
