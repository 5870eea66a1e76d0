"""Adapters: converted once to a form that llama.cpp can run, chosen by what the form loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .conversion import becomes_lora, read_package_adapter
    from .loss import AdapterLoss, Divergence
    from .options import AdapterOptions
    from .prepare import PreparedAdapter, prepare_adapter
    from .report import (
        AdapterReport,
        Form,
        LoraAdapterReport,
        LowRankAdapterReport,
        SoftPromptReport,
        VariantAdapterReport,
    )

__all__ = [
    "AdapterLoss",
    "AdapterOptions",
    "AdapterReport",
    "Divergence",
    "Form",
    "LoraAdapterReport",
    "LowRankAdapterReport",
    "PreparedAdapter",
    "SoftPromptReport",
    "VariantAdapterReport",
    "becomes_lora",
    "prepare_adapter",
    "read_package_adapter",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "conversion": ["becomes_lora", "read_package_adapter"],
        "loss": ["AdapterLoss", "Divergence"],
        "options": ["AdapterOptions"],
        "prepare": ["PreparedAdapter", "prepare_adapter"],
        "report": [
            "AdapterReport",
            "Form",
            "LoraAdapterReport",
            "LowRankAdapterReport",
            "SoftPromptReport",
            "VariantAdapterReport",
        ],
    },
)
