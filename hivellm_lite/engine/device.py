"""Compute devices of this build, and which of them a name means."""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from typing import Any

from ..errors import LoadError
from .native import llama, start, system_info
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
def _ggml() -> Any:
    library = llama._lib
    for name, result, arguments in (
        ("ggml_backend_dev_count", ctypes.c_size_t, []),
        ("ggml_backend_dev_get", ctypes.c_void_p, [ctypes.c_size_t]),
        ("ggml_backend_dev_type", ctypes.c_int, [ctypes.c_void_p]),
        ("ggml_backend_dev_name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_backend_dev_description", ctypes.c_char_p, [ctypes.c_void_p]),
        (
            "ggml_backend_dev_memory",
            None,
            [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)],
        ),
    ):
        try:
            function = getattr(library, name)
        except AttributeError:  # Windows looks a symbol up in one library only
            from llama_cpp._ggml import libggml

            library = libggml
            function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def devices() -> list[Device]:
    """All devices of this build, the CPU included."""
    start()
    ggml = _ggml()
    found = []
    for index in range(ggml.ggml_backend_dev_count()):
        handle = ggml.ggml_backend_dev_get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
        name = ggml.ggml_backend_dev_name(handle).decode()
        text = ggml.ggml_backend_dev_description(handle).decode()
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
        kind_of = _ggml().ggml_backend_dev_type
        return not any(kind_of(found.handle) in _GPU_TYPES for found in devices())
    return not chosen


def free_memory(device: str) -> int | None:
    """Bytes that are free on the devices that compute a model on ``device``; None for a CPU."""
    chosen = select_devices(device)
    if chosen is None:
        kind_of = _ggml().ggml_backend_dev_type
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
