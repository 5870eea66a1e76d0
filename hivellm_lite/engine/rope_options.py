"""Where llama.cpp's rotary embeddings differ from what the model's file says.

Source: ``llama_model::get_rope_factors`` in src/llama-model.cpp, and the models in
src/models, few of which read YaRN's betas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..converters.gguf.header import GGUFHeader

__all__ = ["long_rope_above", "yarn_betas"]

_LONG_FACTORS = "rope_factors_long.weight"


def yarn_betas(metadata: Mapping[str, object]) -> Mapping[str, float]:
    """YaRN's betas as a context takes them; llama.cpp itself reads them of few models."""
    found = {}
    for name in ("yarn_beta_fast", "yarn_beta_slow"):
        value = metadata.get(f"{metadata.get('general.architecture')}.rope.scaling.{name}")
        if isinstance(value, float):
            found[name] = value
    return found


def long_rope_above(headers: Sequence[GGUFHeader]) -> int | None:
    """The positions that a model with LongRoPE was trained for first; None for others."""
    if not any(_LONG_FACTORS in header.tensors for header in headers):
        return None
    metadata = headers[0].metadata
    architecture = metadata.get("general.architecture")
    for key in ("rope.scaling.original_context_length", "context_length"):
        if type(value := metadata.get(f"{architecture}.{key}")) is int:
            return value
    return None
