"""Compute devices of this build, and which of them a name means."""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import Any

from ..errors import LoadError
from .ggml import ggml_function
from .native import start, system_info
from .options import device_name

__all__ = [
    "Device",
    "devices",
    "free_memory",
    "is_cpu",
    "select_devices",
    "use_extra_buffers",
]

_GPU_PREFIXES = {
    "cuda": "CUDA",
    "metal": "MTL",
    "vulkan": "Vulkan",
    "rocm": "ROCm",
    "sycl": "SYCL",
}
"""Our names of device kinds and what llama.cpp's device names begin with."""

_GPU_TYPES = frozenset({1, 2, 4})
"""ggml's types of devices that take layers: GPU, integrated GPU, several as one."""


@dataclass(frozen=True)
class Device:
    """A compute device of this build. ``memory_free``/``memory_total`` in bytes."""

    name: str
    description: str
    memory_free: int
    memory_total: int
    handle: int


@functools.cache
def _functions() -> dict[str, Any]:
    size = ctypes.POINTER(ctypes.c_size_t)
    types: dict[str, tuple[Any, list[Any]]] = {
        "count": (ctypes.c_size_t, []),
        "get": (ctypes.c_void_p, [ctypes.c_size_t]),
        "type": (ctypes.c_int, [ctypes.c_void_p]),
        "name": (ctypes.c_char_p, [ctypes.c_void_p]),
        "description": (ctypes.c_char_p, [ctypes.c_void_p]),
        "memory": (None, [ctypes.c_void_p, size, size]),
    }
    return {name: ggml_function(f"ggml_backend_dev_{name}", *of) for name, of in types.items()}


def devices() -> list[Device]:
    """All devices of this build, the CPU included."""
    start()
    of = _functions()
    found = []
    for index in range(of["count"]()):
        handle = of["get"](index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        of["memory"](handle, ctypes.byref(free), ctypes.byref(total))
        name = of["name"](handle).decode()
        text = of["description"](handle).decode()
        found.append(Device(name, text, free.value, total.value, handle))
    return found


def select_devices(device: str) -> list[Device] | None:
    """The devices that ``device`` names: None for llama.cpp's choice, an empty list for the CPU.

    Accepts ``auto``, ``cpu``, ``cuda``, ``metal``, ``vulkan``, ``rocm``,
    ``sycl``, each GPU name also with an index as in ``cuda:1``. ``auto`` means what
    ``HIVELLM_DEVICE`` names, and without that llama.cpp's choice.

    Raises LoadError when the build has no such device.
    """
    device = device_name(device)
    kind, _, index = device.lower().partition(":")
    if device.lower() in ("auto", "cpu"):
        return None if kind == "auto" else []
    if kind not in _GPU_PREFIXES or (index and not index.isdecimal()):
        names = ", ".join(["auto", "cpu", *_GPU_PREFIXES])
        raise LoadError(f"unknown device {device!r}\nKnown: {names}; with an index as in cuda:1.")
    prefix = _GPU_PREFIXES[kind]
    found = [d for d in devices() if d.name.startswith(prefix) and d.name != "CPU"]
    chosen = found[int(index) : int(index) + 1] if index else found
    if not chosen:
        have = ", ".join(f"{d.name} ({d.description})" for d in devices())
        raise LoadError(
            f"device {device!r} is not there: this llama.cpp has {have}\n"
            "Use device='cpu', or install a build of llama-cpp-python for that device "
            "(see 'Install' in the README; 'hivellm-lite doctor' shows what is installed)."
        )
    return chosen


def is_cpu(device: str) -> bool:
    """Whether a model on ``device`` (see `select_devices`) is computed by the CPU alone."""
    chosen = select_devices(device)
    if chosen is None:
        kind_of = _functions()["type"]
        return not any(kind_of(found.handle) in _GPU_TYPES for found in devices())
    return not chosen


def free_memory(device: str) -> int | None:
    """Bytes that are free on the devices that compute a model on ``device``; None for a CPU."""
    chosen = select_devices(device)
    if chosen is None:
        kind_of = _functions()["type"]
        chosen = [found for found in devices() if kind_of(found.handle) in _GPU_TYPES]
    return sum(one.memory_free for one in chosen) if chosen else None


def use_extra_buffers() -> bool:
    """Whether weights may be repacked for special instructions of the CPU.

    False where the library was built with AMX: with compilers that drop the
    tile configuration (GCC before 14) the first decode would kill the process.
    ``HIVELLM_EXTRA_BUFFERS`` = 0 or 1 decides by hand.
    """
    if (choice := os.environ.get("HIVELLM_EXTRA_BUFFERS")) is not None:
        return choice == "1"
    return "AMX_INT8 = 1" not in system_info()
