"""What ``-o NAME VALUE`` can say to an expert."""

from __future__ import annotations

from typing import Any

import llm
from pydantic import ConfigDict, Field

__all__ = ["ANY", "ExpertOptions"]

ANY = "hivellm"
"""The model whose expert is an option."""

_LOADING = {"base", "device", "n_ctx"}


class ExpertOptions(llm.Options):
    """The options of all models; those that are not given keep the expert's own defaults."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    expert: str | None = Field(None, description=f"Package, name or owner/repository, of -m {ANY}")
    base: str | None = Field(None, description="Base model; looked for by its name without this")
    device: str | None = Field(None, description="auto, cpu, cuda, metal or vulkan")
    n_ctx: int | None = Field(None, description="Tokens of prompt and answer together")
    tables: str | None = Field(
        None, alias="schema", description="Tables, fields or labels that the answer shall use"
    )
    grammar: str | None = Field(None, description="auto, strict, off, a grammar's name or path")
    temperature: float | None = Field(None, description="0 takes the most probable token")
    top_p: float | None = Field(None, description="Share of probability to draw from")
    top_k: int | None = Field(None, description="Number of tokens to draw from")
    max_tokens: int | None = Field(None, description="Longest answer in tokens")
    seed: int | None = Field(None, description="The same seed gives the same answer")
    timeout: float | None = Field(None, description="Seconds after which the answer ends")

    def loading(self) -> dict[str, Any]:
        """The options of `Expert.load`."""
        return self.model_dump(include=_LOADING, exclude_none=True)

    def asking(self) -> dict[str, Any]:
        """The options of `Expert.generate`."""
        return self.model_dump(exclude={"expert", *_LOADING}, exclude_none=True, by_alias=True)
