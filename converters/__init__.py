"""Hugging Face and PEFT files → GGUF: pure functions on files, without torch.

::

    adapter = read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")
    convert_lora(adapter, read_gguf_header(base), out)
    convert_base(model_folder, out, quant="q8_0")

Importing this package loads neither numpy nor gguf; using a name does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import BaseReport, convert_base, estimate_size
    from .checkpoint import open_checkpoint
    from .gguf_header import GGUFHeader, GGUFTensor, read_gguf_header
    from .gguf_split import split_gguf
    from .lora import LoraReport, convert_lora
    from .peft import Adapter, AdapterConfig, AdapterTensor, read_adapter, read_adapter_config
    from .safetensors import SafetensorsFile, TensorInfo

__all__ = [
    "Adapter",
    "AdapterConfig",
    "AdapterTensor",
    "BaseReport",
    "GGUFHeader",
    "GGUFTensor",
    "LoraReport",
    "SafetensorsFile",
    "TensorInfo",
    "convert_base",
    "convert_lora",
    "estimate_size",
    "open_checkpoint",
    "read_adapter",
    "read_adapter_config",
    "read_gguf_header",
    "split_gguf",
]

_HOMES = {
    "base": ("BaseReport", "convert_base", "estimate_size"),
    "checkpoint": ("open_checkpoint",),
    "gguf_header": ("GGUFHeader", "GGUFTensor", "read_gguf_header"),
    "lora": ("LoraReport", "convert_lora"),
    "gguf_split": ("split_gguf",),
    "peft": ("Adapter", "AdapterConfig", "AdapterTensor", "read_adapter", "read_adapter_config"),
    "safetensors": ("SafetensorsFile", "TensorInfo"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)
