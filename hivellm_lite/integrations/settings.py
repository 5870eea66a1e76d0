"""The fields of a model in libraries that define models with pydantic, and their expert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ..expert import Expert
from .experts import LazyExpert

__all__ = ["CONFIG", "Settings"]

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
"""Of each class, since that of a library's base class replaces an inherited one."""

_OPTIONS = ("temperature", "max_tokens", "seed", "stop", "timeout")


class Settings(BaseModel):
    """Which expert answers, and how. Fields that are None keep the expert's own defaults."""

    model_config = CONFIG

    model: str | Path | Expert
    """A path or name, as `Expert.load` takes it, loaded at the first question; or an expert."""
    load_options: dict[str, Any] = Field(default_factory=dict)
    """Options of `Expert.load`, such as ``base``."""
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    """Texts that end the answer; they replace the expert's."""
    timeout: float | None = None
    """Seconds; an answer that takes longer ends with ``finish_reason="timeout"``."""
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further options of `Expert.generate`, such as ``schema`` or ``grammar``."""
    _expert: LazyExpert = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._expert = LazyExpert(self.model, self.load_options)

    def close(self) -> None:
        """Free the expert, if it was loaded here. The next question loads it again."""
        self._expert.close()

    def _options(self, stop: Sequence[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a request: those of the call win over the fields."""
        fields = {name: getattr(self, name) for name in _OPTIONS}
        known = {name: value for name, value in fields.items() if value is not None}
        return {
            **known,
            **self.model_kwargs,
            **({"stop": stop} if stop is not None else {}),
            **given,
        }
