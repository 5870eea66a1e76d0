"""Adapters that are exactly low rank: whether a GGUF LoRA can hold them, and writing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..converters.forms.fitting import find_targets
from ..converters.forms.lora import convert_lora
from ..converters.gguf.header import GGUFHeader
from ..converters.peft.adapter import Adapter
from ..errors import ConversionError
from .loss import NOTHING_LOST
from .report import LoraAdapterReport

__all__ = ["LoraBuilder", "becomes_lora", "lora_obstacle"]


def becomes_lora(adapter: Adapter, header: GGUFHeader, mode: str) -> bool:
    """Whether the adapter is converted to a GGUF LoRA that holds it exactly.

    With ``mode`` ``lora`` this is so even for a LoRA that llama.cpp cannot apply to the base:
    the conversion then raises an error that says why.
    """
    if mode == "exact" or not adapter.is_lora:
        return False
    return mode == "lora" or not lora_obstacle(adapter, header)


def lora_obstacle(adapter: Adapter, header: GGUFHeader) -> str:
    """Why no GGUF LoRA can hold this adapter on this base; empty if one can.

    Raises ConversionError for an adapter that does not fit the base at all.
    """
    find_targets(adapter, header)
    try:
        find_targets(adapter, header, for_lora=True)
    except ConversionError as error:
        return str(error).splitlines()[0].split(": ", 1)[-1]
    return ""


@dataclass(frozen=True)
class LoraBuilder:
    """Writes ``adapter`` as a GGUF LoRA for bases with the layout of ``header``."""

    adapter: Adapter
    header: GGUFHeader

    def build(self, folder: Path) -> LoraAdapterReport:
        """Write ``adapter.gguf`` into ``folder``. Raises ConversionError."""
        written = convert_lora(self.adapter, self.header, folder / "adapter.gguf")
        return LoraAdapterReport(
            methods=self.adapter.methods,
            why="it is exactly low rank",
            bytes=written.bytes,
            loss=NOTHING_LOST,
            tensors=written.tensors,
            ranks=written.ranks,
            scales=written.scales,
            dropped=written.dropped,
        )
