"""ggml's functions, which are in libraries beside llama.cpp's.

Linux and macOS find a symbol also in what a library was linked with. Windows looks into one
library only, so each function is looked for in all of them: ``libllama``, ``libggml`` (the
registry of devices) and ``libggml-base`` (devices, tensors, quantisation).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from typing import Any

from .native import library_file, llama

__all__ = ["find_function", "ggml_function", "ggml_libraries"]


def ggml_function(name: str, result: Any, arguments: list[Any]) -> Any:
    """A function with its types. Raises AttributeError if this build has none of that name."""
    function = find_function(name, ggml_libraries())
    function.restype, function.argtypes = result, arguments
    return function


def find_function(name: str, libraries: Iterable[Any]) -> Any:
    """The function from the first library that has it. Raises AttributeError."""
    for library in libraries:
        if (function := getattr(library, name, None)) is not None:
            return function
    raise AttributeError(f"llama.cpp has no function {name}")


def ggml_libraries() -> Iterator[Any]:
    """The libraries, each opened when it is asked for; the process has loaded all of them."""
    yield llama._lib
    file = library_file()
    for part in ("ggml", "ggml-base"):
        place = file.with_name(file.name.replace("llama", part))
        if place.is_file():
            yield _opened(str(place))


@functools.cache
def _opened(place: str) -> ctypes.CDLL:
    return ctypes.CDLL(place)
