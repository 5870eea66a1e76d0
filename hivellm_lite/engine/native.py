"""The library itself: start, log, version, and ownership of native pointers."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InferenceError
from .binding import load_binding
from .openmp import OPENMP_SETTINGS, short_waits

_NO_BACKTRACE = "GGML_NO_BACKTRACE"

with short_waits():
    # Read while the library loads: it then leaves C++'s handler of uncaught exceptions alone.
    _was_set = os.environ.get(_NO_BACKTRACE)
    os.environ[_NO_BACKTRACE] = "1"
    try:
        llama: Any = load_binding()
    finally:
        if _was_set is None:
            del os.environ[_NO_BACKTRACE]
        else:
            os.environ[_NO_BACKTRACE] = _was_set

__all__ = [
    "LOADING_BYTES",
    "OPENMP_SETTINGS",
    "Native",
    "drop_log",
    "flag_is_set",
    "fresh_log",
    "is_lack_of_memory",
    "library_file",
    "library_version",
    "llama",
    "log_nothing",
    "on_log",
    "reason",
    "return_free_memory",
    "start",
    "system_info",
    "unlogged",
]

logger = logging.getLogger("hivellm_lite.llama")

_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}
"""Python's levels for llama.cpp's (debug, info, warn, error), which reports too much too loudly."""

_KEPT_FROM = 3
"""Lines from this level on can explain a failure: some reasons are only warned of."""

LOADING_BYTES = 32 << 20
"""What llama.cpp takes for vocabulary and lists while it loads a file."""

_CONTINUATION = 5

_lines: deque[tuple[int, int, str]] = deque(maxlen=10_000)
"""Lines of llama.cpp that no caller has collected yet: thread, level, text."""

_calling: set[int] = set()
"""Threads inside `fresh_log`."""

_level = 0


class _Collected(threading.local):
    """What this thread has collected since `fresh_log`: levels and texts."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []


_collected = _Collected()


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def on_log(level: int, text: bytes, _user_data: Any) -> None:
    """Note a line. Any thread may be here, llama.cpp's own too, in the middle of native code, so
    nothing is done that could wait, raise or print.
    """
    global _level
    if level != _CONTINUATION:
        _level = level
        if message := text.decode("utf-8", "replace").strip():
            _lines.append((threading.get_ident(), level, message))


@contextlib.contextmanager
def fresh_log() -> Iterator[None]:
    """Collect llama.cpp's log of a call for `reason`; it is passed to ``logging`` afterwards.

    The callback is the library's only one, and other users of it in this process may have set
    theirs meanwhile.
    """
    me = threading.get_ident()
    llama.llama_log_set(on_log, ctypes.c_void_p(0))
    _collected.lines = []
    _calling.add(me)
    try:
        yield
    finally:
        _collect()
        _calling.discard(me)
        for level, message in _collected.lines:
            logger.log(_LEVELS.get(level, logging.DEBUG), "%s", message)


@contextlib.contextmanager
def unlogged() -> Iterator[bool]:
    """Let llama.cpp log nothing; for a call that is made again in `fresh_log` if it fails.

    Reading a model logs a thousand lines. For each of them its thread would wait for Python, which
    may be busy on another thread. Yields False, and changes nothing, where somebody wants the log:
    a logger, or another thread that is in a call of its own.
    """
    quiet = not _calling and not logger.isEnabledFor(logging.INFO)
    if quiet:
        log_nothing()
    yield quiet


def _collect() -> None:
    """Take the lines of this thread and of those that are in no call, as llama.cpp's own are."""
    me = threading.get_ident()
    for _ in range(len(_lines)):
        try:
            thread, level, message = _lines.popleft()
        except IndexError:  # another thread collects, too
            return
        if thread == me or thread not in _calling:
            _collected.lines.append((level, message))
        else:
            _lines.append((thread, level, message))


def drop_log() -> None:
    """Inside `fresh_log`: what was logged so far is of no interest to anybody."""
    _collect()
    _collected.lines = []


def reason() -> str:
    """What llama.cpp logged since `fresh_log` on this thread, as lines for an error message."""
    if threading.get_ident() in _calling:
        _collect()
    lines = list(dict.fromkeys(text for level, text in _collected.lines if level >= _KEPT_FROM))
    return "\n".join(f"llama.cpp: {line}" for line in lines[-4:]) or "llama.cpp gave no reason"


@atexit.register
def log_nothing() -> None:
    """Python cannot be entered once it ends, but threads may still be in native code. Without a
    callback llama.cpp would print; C's ``abs`` does nothing with a line's level.
    """
    nothing = ctypes.cast(_c_library().abs, llama.llama_log_callback)
    llama.llama_log_set(nothing, ctypes.c_void_p(0))


def _end_at_once() -> None:
    """A failed assertion prints its line and ends the process, and does nothing else.

    llama.cpp would start a debugger for a backtrace: two threads that fail at the same time then
    wait for each other for ever. C's ``perror`` prints a text, on any thread, without Python.
    """
    try:
        set_callback = llama._lib.ggml_set_abort_callback
    except AttributeError:  # on Windows it is in another library
        return
    set_callback.argtypes, set_callback.restype = [ctypes.c_void_p], ctypes.c_void_p
    set_callback(ctypes.cast(_c_library().perror, ctypes.c_void_p))


@functools.cache
def start() -> None:
    """Initialise the library once for the process, quietly."""
    _end_at_once()
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
    from importlib.metadata import PackageNotFoundError, version  # slow, and rarely wanted

    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return "unknown"


def _free(free: Any, pointer: Any, *_keep: object) -> None:
    free(pointer)


def is_lack_of_memory(why: str) -> bool:
    """Whether llama.cpp's reason for a failure is that memory ran out."""
    signs = ("insufficient memory", "allocate", "bad_alloc")
    return any(sign in why for sign in signs)


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

    def let_go(self, other: Native) -> None:
        """Stop using ``other``, which is about to be freed."""

    def disown(self) -> None:
        """Never free the native memory: a forked child cannot free what is on a device."""
        self._finalizer.detach()

    @property
    def pointer(self) -> Any:
        if self.closed:
            raise InferenceError(f"this {type(self).__name__.lower()} was closed")
        return self._pointer
