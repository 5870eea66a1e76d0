"""How OpenMP's threads wait for each other. It is read when llama.cpp is loaded, so this module
is imported before that, and nothing here may import it.

They meet after every operation of a graph, some thousand times a token. GNU OpenMP lets them
spin for milliseconds, which costs ten times the speed as soon as another process wants a core;
passive ones sleep at once, which costs a third of it on an idle machine. A few microseconds of
spinning have neither price.

Every thread that computes has a team of its own, and while a process has more of these threads
than cores, GNU OpenMP spins a third as long, though only one team computes at a time here. The
policy "active" lifts that third; with a count beside it, it has no other effect. LLVM's OpenMP
would spin for ever with it, so only GNU's gets to see it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

__all__ = ["OPENMP_SETTINGS", "short_waits"]

SPIN_COUNT = 300
"""Some microseconds."""

OPENMP_SETTINGS: dict[str, str] = {}
"""The environment variables that OpenMP read, set by the user or by this module."""

_NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@contextlib.contextmanager
def short_waits() -> Iterator[None]:
    """OpenMP waits as above if it loads inside this context. The user's own settings stay."""
    OPENMP_SETTINGS.update((name, os.environ[name]) for name in _NAMES if name in os.environ)
    if OPENMP_SETTINGS:
        yield
        return
    OPENMP_SETTINGS["GOMP_SPINCOUNT"] = os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    try:
        if sys.platform == "linux":
            os.environ["OMP_WAIT_POLICY"] = "active"
            with contextlib.suppress(OSError):
                ctypes.CDLL("libgomp.so.1")
            del os.environ["OMP_WAIT_POLICY"]
        yield
    finally:
        # processes that are started later are not ours to tell
        del os.environ["GOMP_SPINCOUNT"]
