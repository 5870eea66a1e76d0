"""What both models of LangChain share beside their fields."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LangSmithParams

from ...inference.results import InferenceResult
from ...server.logprobs import token_logprobs
from ..settings import CONFIG, Settings

__all__ = ["CONFIG", "LangChainModel", "metadata"]


class LangChainModel(Settings):
    """How an expert is told apart and traced."""

    def get_token_ids(self, text: str) -> list[int]:
        """The expert's tokens of a text, in which names of control tokens are control tokens."""
        return self._expert.get().tokenize_prompt(text, template="raw")

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
