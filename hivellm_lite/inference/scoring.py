"""How probable given tokens are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..engine.not_numbers import NotNumbersError
from .results import TokenScore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Applied, Context
    from .session import Session

__all__ = ["log_probability_blocks", "score_tokens"]

SCORED_TOGETHER = 64
"""Positions whose logits are asked for at once: a context keeps this many rows."""


def score_tokens(
    session: Session, prompt: list[int], completion: list[int], applied: Applied
) -> list[TokenScore]:
    """Log-probability of each completion token after the prompt and those before it."""
    scores: list[TokenScore] = []
    model = session.model
    for rows in log_probability_blocks(session, prompt, completion, applied):
        for row, token in zip(rows, completion[len(scores) :], strict=False):
            top = int(row.argmax())
            scores.append(
                TokenScore(
                    token=token,
                    text=model.piece(token, special=True).decode("utf-8", "replace"),
                    logprob=float(row[token]),
                    top_token=top,
                    top_logprob=float(row[top]),
                )
            )
    return scores


def log_probability_blocks(
    session: Session, prompt: list[int], completion: list[int], applied: Applied
) -> Iterator[NDArray[np.float64]]:
    """Natural logarithms of the probabilities of every token at each completion token's place.

    Blocks of rows (up to `SCORED_TOGETHER` places, n_vocab), in order. Raises NotNumbersError.
    """
    tokens = prompt + completion
    place = len(prompt)
    while place < len(tokens):
        # the logits after token k - 1 judge token k
        n = min(SCORED_TOGETHER, len(tokens) - place)

        def read(context: Context, end: int, n: int = n) -> NDArray[np.float64]:
            found = np.stack([context.logits(i) for i in range(end - n + 1, end + 1)])
            if np.isnan(found).any():
                raise NotNumbersError
            return found.astype(np.float64)

        rows = session.compute(tokens[: place + n - 1], applied, n, read)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        yield rows
        place += n
