"""Trainable tokens: a few rows of the embedding, trained alone or beside a LoRA.

Source: ``tuners/trainable_tokens/layer.py`` of PEFT 0.21 and ``TrainableTokensWrapper`` in its
``utils/other.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...safetensors import Float32Array
from ..updates import Update
from .reader import WEIGHT, Change, Reader

__all__ = ["trainable_tokens"]

MAX_ROWS = 1 << 24
"""More than any vocabulary has."""


def trainable_tokens(reader: Reader) -> Iterator[Change]:
    """The rows of the tokens that the config lists, in its order, saved whole."""
    options = reader.config.options
    values = reader.take("trainable_tokens_delta")
    if options.get("peft_type", "LORA") == "TRAINABLE_TOKENS":
        name, listed = "token_indices", options.get("token_indices")
    else:
        name, listed = "trainable_token_indices", options.get("trainable_token_indices")
        if isinstance(listed, dict):
            ends = [key for key in listed if f".{reader.trained_as}".endswith(f".{key}")]
            listed = listed[ends[0]] if ends else None
            name = f"{name}[{ends[0] if ends else reader.module!r}]"
    rows = options.indices(listed, name, MAX_ROWS)
    if len(rows) != len(values):
        raise reader.fail(f"{len(values)} trained rows, but {name} has {len(rows)} tokens")
    yield Change(WEIGHT, _Rows(values, rows), "trainable tokens")


@dataclass(frozen=True)
class _Rows(Update):
    """``values`` (n, width) replace the rows of ``tokens`` in an embedding."""

    values: Float32Array
    tokens: tuple[int, ...]

    keeps_tie = True

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2 or shape[1] != self.values.shape[1]:
            return f"rows of {self.values.shape[1]} values for an embedding {list(shape)}"
        if self.tokens and max(self.tokens) >= shape[0]:
            return f"token {max(self.tokens)} of a vocabulary of {shape[0]}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        changed: Float32Array = weight.copy()
        changed[list(self.tokens)] = self.values
        return changed
