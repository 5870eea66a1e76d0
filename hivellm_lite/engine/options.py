"""How a context is made, known without loading llama.cpp."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

__all__ = ["KV_TYPES", "ContextOptions", "device_name"]

KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
"""Types of the KV cache that are offered, with their ggml type numbers."""


@dataclass(frozen=True)
class ContextOptions:
    """Size and numerics of a context.

    ``n_ctx``: positions. ``n_threads``: None for the physical cores.
    ``kv_type``: one of ``f32 f16 bf16 q8_0``. ``flash_attention``: None for off on a
    CPU, where it makes decoding slower, and for llama.cpp's choice on other devices.
    """

    n_ctx: int = 2048
    n_threads: int | None = None
    kv_type: str = "f16"
    flash_attention: bool | None = None

    def __post_init__(self) -> None:
        """Refuse values that llama.cpp would answer with an abort."""
        if not 1 <= self.n_ctx <= 1 << 24:
            raise ValueError(f"n_ctx={self.n_ctx}: must be from 1 to {1 << 24} positions")
        if self.n_threads is not None and not 1 <= self.n_threads <= 512:
            raise ValueError(f"n_threads={self.n_threads}: must be from 1 to 512")
        if self.kv_type not in KV_TYPES:
            raise ValueError(f"kv_type={self.kv_type!r}: must be one of {', '.join(KV_TYPES)}")
        if self.kv_type == "q8_0" and self.flash_attention is False:
            raise ValueError(
                "kv_type='q8_0' needs flash attention: a quantised V cache has no other"
            )

    def on_device(self, *, cpu: bool) -> ContextOptions:
        """These options, with the device's choice of flash attention if none is given."""
        if self.flash_attention is None and cpu and self.kv_type != "q8_0":
            return replace(self, flash_attention=False)
        return self


def device_name(asked: str) -> str:
    """``asked``, or for ``auto`` the device that the variable ``HIVELLM_DEVICE`` names."""
    return (os.environ.get("HIVELLM_DEVICE") or asked) if asked.lower() == "auto" else asked
