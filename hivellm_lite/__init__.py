"""Run HiveLLM experts on llama.cpp.

::

    from hivellm_lite import Expert

    with Expert.load("sql.expert", base="model.gguf") as expert:
        print(expert.generate("How many users are there?", schema="CREATE TABLE …").text)

Importing this package loads neither llama.cpp nor numpy; loading an expert does.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import (
    BaseNotFoundError,
    CacheError,
    ContextLengthError,
    ConversionError,
    ExpertError,
    GrammarError,
    InferenceError,
    LoadError,
    ManifestError,
    OutOfMemoryError,
    PackageError,
)

if TYPE_CHECKING:
    from .async_generation import AsyncTextStream
    from .expert import Expert
    from .expert_registry import ExpertStatus
    from .gbnf import Grammar
    from .generation import TextStream
    from .manager import ExpertManager
    from .manifest import Manifest
    from .package import Package, open_package
    from .results import InferenceResult, TokenScore

__all__ = [
    "AsyncTextStream",
    "BaseNotFoundError",
    "CacheError",
    "ContextLengthError",
    "ConversionError",
    "Expert",
    "ExpertError",
    "ExpertManager",
    "ExpertStatus",
    "Grammar",
    "GrammarError",
    "InferenceError",
    "InferenceResult",
    "LoadError",
    "Manifest",
    "ManifestError",
    "OutOfMemoryError",
    "Package",
    "PackageError",
    "TextStream",
    "TokenScore",
    "__version__",
    "open_package",
]

_LAZY = {
    "AsyncTextStream": "async_generation",
    "Expert": "expert",
    "ExpertManager": "manager",
    "ExpertStatus": "expert_registry",
    "Grammar": "gbnf",
    "InferenceResult": "results",
    "Manifest": "manifest",
    "Package": "package",
    "TextStream": "generation",
    "TokenScore": "results",
    "open_package": "package",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
