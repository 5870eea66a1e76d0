"""Every call into llama.cpp. No llama.cpp name and no ctypes appears outside this folder.

Three objects own native memory: `Model` (weights and vocabulary), `Context`
(KV cache and compute buffers of one model) and `Sampler`. An `Adapter` belongs
to its model; which adapter applies belongs to a context. Each is freed by
``close()`` or when it is collected, children before parents.

What this folder does not know: prompts, packages, stop strings, text decoding.
It is not thread-safe: one context is used by one thread at a time.

Sources: ``include/llama.h`` and ``ggml/include/ggml-backend.h`` of llama.cpp.

Private: may change in any release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .adapter import Adapter, Applied
    from .context import Context, InterruptedDecodeError
    from .device import Device, devices
    from .kv_state import KVState
    from .model import Model
    from .native import (
        OPENMP_SETTINGS,
        library_file,
        library_version,
        return_free_memory,
        system_info,
    )
    from .options import KV_TYPES, ContextOptions
    from .rows import Row
    from .sampler import Sampler

__all__ = [
    "KV_TYPES",
    "OPENMP_SETTINGS",
    "Adapter",
    "Applied",
    "Context",
    "ContextOptions",
    "Device",
    "InterruptedDecodeError",
    "KVState",
    "Model",
    "Row",
    "Sampler",
    "devices",
    "library_file",
    "library_version",
    "return_free_memory",
    "system_info",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "adapter": ["Adapter", "Applied"],
        "context": ["Context", "InterruptedDecodeError"],
        "device": ["Device", "devices"],
        "kv_state": ["KVState"],
        "model": ["Model"],
        "native": [
            *("OPENMP_SETTINGS", "library_file", "library_version"),
            *("return_free_memory", "system_info"),
        ],
        "options": ["KV_TYPES", "ContextOptions"],
        "rows": ["Row"],
        "sampler": ["Sampler"],
    },
)
