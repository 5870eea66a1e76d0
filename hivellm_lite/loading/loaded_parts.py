"""What loading an expert found and made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..adapters.prepare import PreparedAdapter
from ..bases.base_file import BaseFile
from ..cache.store import Cache
from ..package.opening import Package

if TYPE_CHECKING:
    from ..converters.soft_prompts import SoftPromptRows
    from ..engine import Adapter
    from ..inference.session import Session

__all__ = ["LoadTimes", "LoadedParts"]


@dataclass(frozen=True)
class LoadTimes:
    """Seconds that each part of loading took, and what had to be converted for it."""

    package: float
    base: float
    adapter: float
    model: float
    base_converted: bool
    adapter_converted: bool

    @property
    def total(self) -> float:
        """Seconds of all parts together."""
        return self.package + self.base + self.adapter + self.model


@dataclass(frozen=True)
class LoadedParts:
    """What loading found and made.

    ``adapter`` is None for a variant and for a soft prompt. ``soft_prompt`` stands before every
    prompt. ``find_weights`` looks for the base's Hugging Face folder. ``notes`` are about the soft
    prompt. The owner releases ``session``.
    """

    package: Package
    base: BaseFile
    prepared: PreparedAdapter
    session: Session
    adapter: Adapter | None
    soft_prompt: SoftPromptRows | None
    times: LoadTimes
    cache: Cache
    find_weights: Callable[[], Path | None]
    notes: tuple[str, ...] = ()
