"""The settings that choose the next token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["SamplingParams"]

MAX_TOP_K = (1 << 31) - 1
"""The largest int32, which is llama.cpp's type for top-k."""


@dataclass(frozen=True)
class SamplingParams:
    """Sampling settings, applied in llama.cpp's order.

    The order is: penalties, top-k, top-p, min-p, temperature, draw.

    ``temperature`` 0 takes the most probable token; ``top_k``, ``top_p``, ``min_p`` and
    the seed then have no effect. ``top_k`` 0, ``top_p`` 1, ``min_p`` 0,
    ``repetition_penalty`` 1, ``frequency_penalty`` 0 and ``presence_penalty`` 0 switch their
    step off. The penalties consider the last 64 tokens, including the prompt's. Raises
    ValueError for values out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range; NaN is out of every range."""
        for name, valid, text in (
            ("temperature", 0.0 <= self.temperature <= 100.0, "from 0 (greedy) to 100"),
            ("top_k", self._is_top_k(), f"a whole number from 0 (off) to {MAX_TOP_K}"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0, up to 1 (off)"),
            ("min_p", 0.0 <= self.min_p <= 1.0, "from 0 (off) to 1"),
            ("repetition_penalty", 0.0 < self.repetition_penalty <= 100.0, "above 0; 1 is off"),
            ("frequency_penalty", -2.0 <= self.frequency_penalty <= 2.0, "from -2 to 2; 0 is off"),
            ("presence_penalty", -2.0 <= self.presence_penalty <= 2.0, "from -2 to 2; 0 is off"),
        ):
            if not valid:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be {text}")

    def _is_top_k(self) -> bool:
        return type(self.top_k) is int and 0 <= self.top_k <= MAX_TOP_K

    def override(self, values: Mapping[str, Any]) -> SamplingParams:
        """A copy with the given ``values``; other names, and values that are None, are ignored."""
        names = {field.name for field in fields(self)}
        return replace(self, **{k: v for k, v in values.items() if k in names and v is not None})
