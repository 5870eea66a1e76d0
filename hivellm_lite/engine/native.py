"""The library itself: start, log, version, and ownership of native pointers."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InferenceError
from .openmp import short_waits

with short_waits():
    import llama_cpp as llama

__all__ = [
    "Native",
    "flag_is_set",
    "fresh_log",
    "library_file",
    "library_version",
    "llama",
    "reason",
    "return_free_memory",
    "start",
    "system_info",
]

logger = logging.getLogger("hivellm_lite.llama")

_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}
"""llama.cpp's log levels (debug, info, warn, error) as ours: its own idea of what
is worth a user's attention is generous."""

_KEPT_FROM = 3
"""Lines from this level on can explain a failure: some reasons are only warned of."""

_CONTINUATION = 5

_recent: deque[str] = deque(maxlen=20)
_level = 0


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _user_data: Any) -> None:
    """Keep warnings and errors for the next exception; pass all to ``logging``."""
    global _level
    if level != _CONTINUATION:
        _level = level
    message = text.decode("utf-8", "replace").strip()
    if message and level != _CONTINUATION:
        if _level >= _KEPT_FROM:
            _recent.append(message)
        logger.log(_LEVELS.get(_level, logging.DEBUG), "%s", message)


@contextlib.contextmanager
def fresh_log() -> Iterator[None]:
    """Collect llama.cpp's log for `reason`. The callback is the library's only one, and
    other users of it in this process may have set theirs meanwhile.
    """
    llama.llama_log_set(_on_log, ctypes.c_void_p(0))
    _recent.clear()
    yield


def reason() -> str:
    """What llama.cpp logged since `fresh_log`, as lines for an error message."""
    lines = list(dict.fromkeys(_recent))
    return "\n".join(f"llama.cpp: {line}" for line in lines[-4:]) or "llama.cpp gave no reason"


@functools.cache
def start() -> None:
    """Initialise the library once for the process, quietly."""
    with fresh_log():
        llama.llama_backend_init()


@functools.cache
def flag_is_set() -> Any:
    """An abort callback that looks at a flag without entering Python.

    llama.cpp asks it after every operation of a graph, about a thousand times a
    decode; a Python function would wait for the interpreter lock each time. C's
    ``strlen`` takes a pointer and returns non-zero exactly if the byte there is not
    zero, which is what a callback ``bool (*)(void *)`` with a flag as its data must do.
    """
    return ctypes.cast(_c_library().strlen, llama.ggml_abort_callback)


def return_free_memory() -> None:
    """Give what the heap holds free back to the system, where the C library can (GNU's).

    Loading leaves some megabytes of holes for every expert, and swapping adapters too.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _c_library() -> ctypes.CDLL:
    return ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)


def system_info() -> str:
    """llama.cpp's own line of compiled features, for example ``AVX512 = 1 | …``."""
    start()
    return str(llama.llama_print_system_info().decode())


def library_file() -> Path:
    """The shared library that is in use."""
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(llama.__file__).parent / "lib")
    found = sorted(p for p in folder.iterdir() if p.stem in ("libllama", "llama"))
    return found[0] if found else folder


def library_version() -> str:
    """Version of the binding that carries llama.cpp."""
    return str(llama.__version__)


def _free(free: Any, pointer: Any, *_keep: object) -> None:
    free(pointer)


class Native:
    """Owner of one native pointer, freed exactly once."""

    _pointer: Any
    _finalizer: weakref.finalize[Any, Any]

    def _own(self, pointer: Any, free: Any, *keep: object) -> None:
        """``keep``: what must not be freed before; it lives until this is freed."""
        self._pointer = pointer
        self._finalizer = weakref.finalize(self, _free, free, pointer, *keep)

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Free the native memory. Using the object afterwards raises InferenceError."""
        self._finalizer()

    def disown(self) -> None:
        """Never free the native memory: a forked child cannot free what is on a device."""
        self._finalizer.detach()

    @property
    def pointer(self) -> Any:
        if self.closed:
            raise InferenceError(f"this {type(self).__name__.lower()} was closed")
        return self._pointer
