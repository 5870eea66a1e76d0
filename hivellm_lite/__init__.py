"""Run HiveLLM experts on llama.cpp.

::

    from hivellm_lite import Expert

    with Expert.load("sql.expert", base="model.gguf") as expert:
        print(expert.generate("How many users are there?", schema="CREATE TABLE …").text)

Importing this package loads neither llama.cpp nor numpy; loading an expert does.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

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
    RegistryError,
    SignatureError,
)

if TYPE_CHECKING:
    from .adapters.options import AdapterOptions
    from .adapters.prepare import PreparedAdapter
    from .bases.base_file import BaseFile
    from .cache.store import Cache
    from .expert import Expert
    from .gbnf.syntax import Grammar
    from .inference.async_streams import AsyncTextStream
    from .inference.results import AnswerToken, InferenceResult, TokenLogprob, TokenScore
    from .inference.streams import TextStream
    from .json_schema.schema_source import JSONSchema
    from .loading.loaded_parts import LoadTimes
    from .loading.options import (
        ConversionOptions,
        DeviceOptions,
        LoadOptions,
        SharingOptions,
        SourceOptions,
    )
    from .manager import ExpertManager
    from .manifest.records import Manifest
    from .package.opening import Package, open_package
    from .progress import Progress
    from .requests.grammars import GrammarOption
    from .requests.options import BatchPrompt, GenerationOptions, PromptOptions, RequestOptions
    from .residency.entries import ExpertStatus
    from .residency.stats import (
        BaseStats,
        ExpertCounts,
        KVCacheCounts,
        ManagerStats,
        OwnContextStats,
        RequestCounts,
        ResidencyStats,
    )
    from .routing import ExpertScore, Route
    from .signing.verification import SignatureReport

__all__ = [
    "AdapterOptions",
    "AnswerToken",
    "AsyncTextStream",
    "BaseFile",
    "BaseNotFoundError",
    "BaseStats",
    "BatchPrompt",
    "Cache",
    "CacheError",
    "ContextLengthError",
    "ConversionError",
    "ConversionOptions",
    "DeviceOptions",
    "Expert",
    "ExpertCounts",
    "ExpertError",
    "ExpertManager",
    "ExpertScore",
    "ExpertStatus",
    "GenerationOptions",
    "Grammar",
    "GrammarError",
    "GrammarOption",
    "InferenceError",
    "InferenceResult",
    "JSONSchema",
    "KVCacheCounts",
    "LoadError",
    "LoadOptions",
    "LoadTimes",
    "ManagerStats",
    "Manifest",
    "ManifestError",
    "OutOfMemoryError",
    "OwnContextStats",
    "Package",
    "PackageError",
    "PreparedAdapter",
    "Progress",
    "PromptOptions",
    "RegistryError",
    "RequestCounts",
    "RequestOptions",
    "ResidencyStats",
    "Route",
    "SharingOptions",
    "SignatureError",
    "SignatureReport",
    "SourceOptions",
    "TextStream",
    "TokenLogprob",
    "TokenScore",
    "__version__",
    "open_package",
]

_HOMES = {
    "AdapterOptions": "adapters.options",
    "AnswerToken": "inference.results",
    "AsyncTextStream": "inference.async_streams",
    "BaseFile": "bases.base_file",
    "BaseStats": "residency.stats",
    "BatchPrompt": "requests.options",
    "Cache": "cache.store",
    "ConversionOptions": "loading.options",
    "DeviceOptions": "loading.options",
    "Expert": "expert",
    "ExpertCounts": "residency.stats",
    "ExpertManager": "manager",
    "ExpertScore": "routing",
    "ExpertStatus": "residency.entries",
    "GenerationOptions": "requests.options",
    "Grammar": "gbnf.syntax",
    "GrammarOption": "requests.grammars",
    "InferenceResult": "inference.results",
    "JSONSchema": "json_schema.schema_source",
    "KVCacheCounts": "residency.stats",
    "LoadOptions": "loading.options",
    "LoadTimes": "loading.loaded_parts",
    "ManagerStats": "residency.stats",
    "Manifest": "manifest.records",
    "Package": "package.opening",
    "PreparedAdapter": "adapters.prepare",
    "Progress": "progress",
    "PromptOptions": "requests.options",
    "OwnContextStats": "residency.stats",
    "RequestCounts": "residency.stats",
    "ResidencyStats": "residency.stats",
    "RequestOptions": "requests.options",
    "Route": "routing",
    "SharingOptions": "loading.options",
    "SignatureReport": "signing.verification",
    "SourceOptions": "loading.options",
    "TextStream": "inference.streams",
    "TokenLogprob": "inference.results",
    "TokenScore": "inference.results",
    "open_package": "package.opening",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
