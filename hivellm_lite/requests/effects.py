"""What an expert adds to its base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Applied

__all__ = ["Effect"]


@dataclass(frozen=True)
class Effect:
    """Adapters that apply while an answer is computed, and virtual tokens before its prompt."""

    applied: Applied = ()
    prefix: tuple[int, ...] = ()

    def scaled(self, scale: float) -> Effect:
        """The same with all scales of adapters times ``scale``; nothing for 0."""
        if scale == 1.0:
            return self
        scaled = ((adapter, own * scale) for adapter, own in self.applied)
        return Effect(tuple(pair for pair in scaled if pair[1]), self.prefix if scale else ())
