"""How probable the tokens of an answer were, and what else was probable at their places.

The probabilities are the model's own: before a logit bias, a grammar and the sampling values. A
token that a grammar forced has the probability 1, because nothing was computed for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .results import AnswerToken, TokenLogprob

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Model

__all__ = ["AnswerLogprobs"]


class AnswerLogprobs:
    """The tokens of one answer with their probabilities, as they come.

    ``n_top``: most probable tokens to note at each place. Tokens of a thought are not noted.
    """

    def __init__(self, model: Model, n_top: int) -> None:
        self._model = model
        self._n_top = n_top
        self._judged: AnswerToken | None = None
        self._noted: list[AnswerToken] = []

    def judge(self, logits: NDArray[np.float32], token: int) -> None:
        """Look at the logits (n_vocab,) of the place where ``token`` was chosen."""
        values = logits.astype(np.float64)
        values -= values.max()
        values -= np.log(np.exp(values).sum())
        n_top = min(self._n_top, len(values))
        top: list[TokenLogprob] = []
        if n_top:
            best = np.argpartition(values, -n_top)[-n_top:]
            best = best[np.lexsort((best, -values[best]))]
            top = [self._named(int(one), float(values[one])) for one in best]
        own = self._named(token, float(values[token]))
        self._judged = AnswerToken(own.token, own.data, own.logprob, tuple(top))

    def note(self, token: int, *, in_thought: bool) -> None:
        """``token`` is a part of the answer now; one that was not judged was forced."""
        judged, self._judged = self._judged, None
        if in_thought:  # what came before it only looked like an answer
            self._noted.clear()
            return
        if judged is None:
            own = self._named(token, 0.0)
            judged = AnswerToken(own.token, own.data, 0.0, (own,) if self._n_top else ())
        self._noted.append(judged)

    def end(self, text: str) -> None:
        """Forget the tokens of what was cut off behind ``text``, the whole answer."""
        n_bytes, n_left = len(text.encode("utf-8")), sum(len(one.data) for one in self._noted)
        while self._noted and n_left - len(self._noted[-1].data) >= n_bytes:
            n_left -= len(self._noted.pop().data)

    def noted(self) -> tuple[AnswerToken, ...]:
        """All tokens so far."""
        return tuple(self._noted)

    def _named(self, token: int, logprob: float) -> TokenLogprob:
        return TokenLogprob(token, self._model.piece(token, special=True), logprob)
