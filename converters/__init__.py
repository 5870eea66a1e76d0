"""Converts Hugging Face and PEFT files to GGUF: pure functions on files, without torch.

::

    adapter = read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")
    convert_lora(adapter, read_gguf_header(base), out)
    convert_base(model_folder, out, quant="q8_0")

Importing this package loads neither numpy nor gguf; using a name does. The modules below import
gguf only where they write or decode: it takes 0.2 s, and an adapter from the cache needs none of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .base import BaseReport, convert_base, estimate_size
    from .checkpoints.opening import open_checkpoint
    from .checkpoints.tensors import Checkpoint, TensorReader
    from .forms.lora import LoraReport, convert_lora
    from .gguf.header import GGUFHeader, GGUFTensor, read_gguf_header
    from .gguf.split import split_gguf
    from .gguf.values import GGUFArray, Scalar
    from .peft.adapter import (
        Adapter,
        AdapterConfig,
        AdapterTensor,
        BaseCopy,
        read_adapter,
        read_adapter_config,
    )
    from .peft.methods.reader import Values
    from .safetensors import Array, Float32Array, SafetensorsFile, TensorInfo

__all__ = [
    "Adapter",
    "AdapterConfig",
    "AdapterTensor",
    "Array",
    "BaseCopy",
    "BaseReport",
    "Checkpoint",
    "Float32Array",
    "GGUFArray",
    "GGUFHeader",
    "GGUFTensor",
    "LoraReport",
    "SafetensorsFile",
    "Scalar",
    "TensorInfo",
    "TensorReader",
    "Values",
    "convert_base",
    "convert_lora",
    "estimate_size",
    "open_checkpoint",
    "read_adapter",
    "read_adapter_config",
    "read_gguf_header",
    "split_gguf",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "base": ("BaseReport", "convert_base", "estimate_size"),
        "checkpoints.opening": ("open_checkpoint",),
        "checkpoints.tensors": ("Checkpoint", "TensorReader"),
        "gguf.header": ("GGUFHeader", "GGUFTensor", "read_gguf_header"),
        "forms.lora": ("LoraReport", "convert_lora"),
        "gguf.split": ("split_gguf",),
        "gguf.values": ("GGUFArray", "Scalar"),
        "peft.adapter": (
            "Adapter",
            "AdapterConfig",
            "AdapterTensor",
            "BaseCopy",
            "read_adapter",
            "read_adapter_config",
        ),
        "peft.methods.reader": ("Values",),
        "safetensors": ("Array", "Float32Array", "SafetensorsFile", "TensorInfo"),
    },
)
