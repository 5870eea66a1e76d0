"""The chain of steps that turns logits into a token."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .native import Native, llama
from .not_numbers import NotNumbersError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..sampling import SamplingParams

__all__ = ["Sampler"]

PENALTY_WINDOW = 64
"""Tokens that the penalties look back at: llama.cpp's own default."""

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama.cpp's ``llama_token_data``."""


class Sampler(Native):
    """A sampler chain with its own random state and penalty window.

    Choosing and accepting are separate steps, so a token that a grammar refuses leaves no trace
    in the penalty window.
    """

    def __init__(self, params: SamplingParams, seed: int, n_vocab: int) -> None:
        self._own(
            llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params()),
            llama.llama_sampler_free,
        )
        penalties = params.repetition_penalty, params.frequency_penalty, params.presence_penalty
        self._is_penalised = penalised = penalties != (1.0, 0.0, 0.0)
        steps = []
        if penalised:
            steps.append(llama.llama_sampler_init_penalties(n_vocab, PENALTY_WINDOW, *penalties))
        if params.temperature == 0.0:
            steps.append(llama.llama_sampler_init_greedy())
        else:
            if params.top_k > 0:
                steps.append(llama.llama_sampler_init_top_k(params.top_k))
            if params.top_p < 1.0:
                steps.append(llama.llama_sampler_init_top_p(params.top_p, 1))
            if params.min_p > 0.0:
                steps.append(llama.llama_sampler_init_min_p(params.min_p, 1))
            steps.append(llama.llama_sampler_init_temp(params.temperature))
            steps.append(llama.llama_sampler_init_dist(seed))
        for step in steps:
            llama.llama_sampler_chain_add(self.pointer, step)
        self.takes_best = params.temperature == 0.0 and not penalised
        """Whether the token with the largest logit is chosen, and nothing else counts."""
        self._ids = np.arange(n_vocab, dtype=np.int32)

    def choose(
        self, logits: NDArray[np.float32], allowed: NDArray[np.bool_ | np.intp] | None = None
    ) -> int:
        """Choose a token from ``logits`` (n_vocab,), among those ``allowed`` if given: a mask
        (n_vocab,) or ascending tokens.

        At least one must be allowed. Raises NotNumbersError for logits with NaN or infinity.
        """
        ids = self._ids if allowed is None else self._ids[allowed]
        values = logits if allowed is None else logits[allowed]
        best = int(values.argmax())  # of NaN, where there is one
        if not math.isfinite(values[best]):
            raise NotNumbersError
        if self.takes_best:
            return int(ids[best])
        candidates = np.empty(len(ids), _CANDIDATE)
        candidates["id"], candidates["logit"], candidates["p"] = ids, values, 0.0
        data = candidates.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data, len(ids), -1, False)
        llama.llama_sampler_apply(self.pointer, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def accept(self, tokens: Sequence[int]) -> None:
        """Show tokens of the prompt or the answer to the penalty window."""
        if not self._is_penalised:
            return
        for token in tokens[-PENALTY_WINDOW:]:
            llama.llama_sampler_accept(self.pointer, token)
