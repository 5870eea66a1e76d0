"""The options for the form of an adapter."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODES", "VARIANT_TYPES", "AdapterOptions"]

MODES = ("auto", "lora", "exact")
VARIANT_TYPES = ("q8_0", "bf16", "f16", "f32")
"""The types that a variant can be stored at."""


@dataclass(frozen=True)
class AdapterOptions:
    """Which form to make.

    ``mode``: ``lora`` makes the low-rank form of every adapter, ``exact`` the variant.
    ``auto`` makes a LoRA of an adapter that is exactly low rank. For other adapters it takes
    the low-rank form or the variant, whichever is smaller and loses at most 2 % of the
    adapter's own effect.

    ``extra_rank``: ranks of the low-rank form beyond the adapter's own; None for as few as
    that bound allows.

    ``variant_type``: the type that a variant is stored at. None takes, for each tensor, the
    smallest type that keeps the adapter's change: ``q8_0`` or better from float weights
    beside a quantised base, ``f16`` or ``f32`` otherwise. ``force`` allows a type that
    destroys the adapter.

    Raises ValueError for values out of range.
    """

    mode: str = "auto"
    extra_rank: int | None = None
    variant_type: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.mode not in MODES:
            raise ValueError(f"adapter_mode={self.mode!r}: must be one of {', '.join(MODES)}")
        if self.variant_type is not None and self.variant_type not in VARIANT_TYPES:
            known = ", ".join(VARIANT_TYPES)
            raise ValueError(f"variant_type={self.variant_type!r}: must be one of {known}")
        if self.extra_rank is not None and not 0 <= self.extra_rank <= 1024:
            raise ValueError(f"extra_rank={self.extra_rank}: must be from 0 to 1024")
