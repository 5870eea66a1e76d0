"""Adapters: converted once to a form that llama.cpp can run, chosen by what the form loses."""

from __future__ import annotations

from .options import AdapterOptions
from .prepare import PreparedAdapter, becomes_lora, prepare_adapter, read_package_adapter

__all__ = [
    "AdapterOptions",
    "PreparedAdapter",
    "becomes_lora",
    "prepare_adapter",
    "read_package_adapter",
]
