"""The chain of steps that turns logits into a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .native import Native, llama

if TYPE_CHECKING:
    from ..sampling import SamplingParams
    from .context import Context

__all__ = ["Sampler"]

PENALTY_WINDOW = 64
"""Tokens that the repetition penalty looks back at: llama.cpp's own default."""


class Sampler(Native):
    """A sampler chain with its own random state and penalty window."""

    def __init__(self, params: SamplingParams, seed: int, n_vocab: int) -> None:
        self._own(
            llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params()),
            llama.llama_sampler_free,
        )
        steps = []
        if params.repetition_penalty != 1.0:
            steps.append(
                llama.llama_sampler_init_penalties(
                    n_vocab, PENALTY_WINDOW, params.repetition_penalty, 0.0, 0.0
                )
            )
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

    def accept(self, tokens: Sequence[int]) -> None:
        """Let the penalty window see tokens that were not sampled: the prompt."""
        for token in tokens[-PENALTY_WINDOW:]:
            llama.llama_sampler_accept(self.pointer, token)

    def sample(self, context: Context) -> int:
        """Choose and accept a token from the logits of the context's last decode."""
        return int(llama.llama_sampler_sample(self.pointer, context.pointer, -1))
