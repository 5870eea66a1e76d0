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
    from .expert import Expert
    from .expert_registry import ExpertStatus
    from .gbnf import Grammar
    from .inference.async_streams import AsyncTextStream
    from .inference.results import InferenceResult, TokenScore
    from .inference.streams import TextStream
    from .manager import ExpertManager
    from .manifest import Manifest
    from .package import Package, open_package

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

_HOMES = {
    "AsyncTextStream": "inference.async_streams",
    "Expert": "expert",
    "ExpertManager": "manager",
    "ExpertStatus": "expert_registry",
    "Grammar": "gbnf",
    "InferenceResult": "inference.results",
    "Manifest": "manifest",
    "Package": "package",
    "TextStream": "inference.streams",
    "TokenScore": "inference.results",
    "open_package": "package",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
