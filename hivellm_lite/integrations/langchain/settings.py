"""The fields that both models of LangChain have, and the expert that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import LangSmithParams
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ...expert import Expert
from ...inference.results import InferenceResult
from ...server.logprobs import token_logprobs
from ..experts import LazyExpert

__all__ = ["CONFIG", "Settings", "metadata"]

CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
"""Of each class, since that of LangChain's base class replaces an inherited one."""

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

    def get_token_ids(self, text: str) -> list[int]:
        """The expert's tokens of a text, in which names of control tokens are control tokens."""
        return self._expert.get().tokenize_prompt(text, template="raw")

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

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What an answer depends on; LangChain's cache compares these values."""
        loaded = {"load_options": self.load_options, "model": self._expert.name}
        return {**loaded, **self._options(None, {})}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        found = super()._get_ls_params(stop=stop, **kwargs)  # type: ignore[misc]
        found.update(
            ls_provider="hivellm-lite", ls_model_name=kwargs.get("model", self._expert.name)
        )
        return found  # type: ignore[no-any-return]


def metadata(result: InferenceResult, finish_reason: str) -> dict[str, Any]:
    """What ``response_metadata`` or ``generation_info`` tells of an answer."""
    found: dict[str, Any] = {
        "model_name": result.expert,
        "finish_reason": finish_reason,
        "seed": result.seed,
    }
    if result.stop_sequence is not None:
        found["stop_sequence"] = result.stop_sequence
    if result.logprobs:
        found["logprobs"] = {"content": token_logprobs(result.logprobs)}
    return found
