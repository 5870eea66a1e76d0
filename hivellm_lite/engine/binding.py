"""Loads llama-cpp-python's declarations of llama.cpp's functions, and nothing else of it.

``import llama_cpp`` also imports its class ``Llama``, the chat formats and their dependencies,
which takes longer than llama.cpp takes to read a small model, and of which nothing is used here.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["load_binding"]

_BINDING = "llama_cpp.llama_cpp"
_NEEDED_BY_IT = "llama_cpp._ctypes_extensions"


def load_binding() -> ModuleType:
    """The module ``llama_cpp.llama_cpp``: as imported by others, or else a copy of our own.

    A copy is in no table of modules, so a later ``import llama_cpp`` is as if it were not there.
    Where a version of the package is built otherwise, it is imported whole. Raises ImportError if
    it is missing, and what the library's loader raises.
    """
    if _BINDING not in sys.modules and (package := find_spec("llama_cpp")) is not None:
        try:
            return _copy(package)
        except ImportError:
            pass
    return importlib.import_module(_BINDING)


def _copy(package: ModuleSpec) -> ModuleType:
    extensions = _executed(package, _NEEDED_BY_IT)
    # A name that is in the table is imported without the package around it.
    sys.modules[_NEEDED_BY_IT] = extensions
    try:
        return _executed(package, _BINDING)
    finally:
        del sys.modules[_NEEDED_BY_IT]


def _executed(package: ModuleSpec, name: str) -> ModuleType:
    path = Path(package.submodule_search_locations[0], f"{name.rpartition('.')[2]}.py")  # type: ignore[index]
    spec = spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise ImportError(f"no module {name}", name=name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
