"""What the caller may ask of the form of an adapter."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODES", "VARIANT_TYPES", "AdapterOptions"]

MODES = ("auto", "lora", "exact")
VARIANT_TYPES = ("q8_0", "bf16", "f16", "f32")
"""What a variant can be stored at."""


@dataclass(frozen=True)
class AdapterOptions:
    """Which form to make.

    ``mode``: ``lora`` is the low-rank form of anything, ``exact`` the variant of
    anything; ``auto`` takes a LoRA for what is exactly low rank, else the
    smaller one of the low-rank form and the variant that loses at most 2 % of
    the adapter's own effect. ``extra_rank``: ranks of the low-rank form beyond
    the adapter's own; None for as few as that bound allows. ``variant_type``: what a
    variant is stored at; None for the smallest type, tensor by tensor, that keeps the
    adapter's change: ``q8_0`` or more from float weights beside a quantised base,
    ``f16`` or ``f32`` otherwise.
    ``force`` allows a variant type that destroys the adapter.
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
