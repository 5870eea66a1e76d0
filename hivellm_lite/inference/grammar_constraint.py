"""A grammar along one answer: which token may come next, and which must.

*Rejection first*: the sampler chooses a token as if there were no grammar. Checking the token
costs one look-up. Only if the grammar refuses it, the sampler chooses again among the tokens that
the grammar allows: first those whose first byte is legal, finally under the exact mask. A greedy
answer equals the answer with a mask at every step. Sampling with a temperature alone has the same
distribution. Top-k, top-p and min-p see the whole vocabulary at the first draw, and only the
allowed tokens at later draws.

*Forced text*: while only one byte is legal at each place, the text is tokenised as the tokenizer
would tokenise it. These tokens need no logits.

If the answer begins with a thought (``<think>…</think>``), the grammar begins after the thought.
White space between the two is free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import GrammarError
from .answer import THOUGHT_BEGIN, THOUGHT_END

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Model, Sampler
    from ..gbnf.matcher import Configuration
    from ..gbnf.token_masks import TokenMasks

__all__ = ["GrammarConstraint"]

N_QUICK = 8
"""Draws among the tokens with a legal first byte, before the exact mask is computed."""

WILLING = 4
"""Tokens without a refusal after which no masks are prepared any more."""

MAX_GAP = 8
"""White-space tokens between a thought and the answer."""

_OPEN, _CLOSE = THOUGHT_BEGIN.encode(), THOUGHT_END.encode()


class GrammarConstraint:
    """The state of a grammar along one answer.

    ``start`` is the grammar's configuration before any text. With ``thinking`` the
    answer may begin with a thought; with ``in_thought`` it begins inside one.
    """

    def __init__(
        self,
        start: Configuration,
        masks: TokenMasks,
        model: Model,
        *,
        thinking: bool = False,
        in_thought: bool = False,
    ) -> None:
        self._configuration = start
        self._masks = masks
        self._model = model
        self._stage = "thought" if in_thought else "start" if thinking else "answer"
        self._pending = b""
        self._gap = 0
        self._n_willing = WILLING
        """Tokens since the model last wanted one that the grammar refuses."""
        self._prepared: NDArray[np.intp] | None = None
        """The legal tokens at the next place, ascending, if `prepare` computed them."""

    @property
    def finished(self) -> bool:
        """Whether the text so far is a sentence that nothing may follow."""
        return self._stage == "answer" and self._configuration.finished

    def choose(self, sampler: Sampler, logits: NDArray[np.float32]) -> int:
        """The next token. Raises GrammarError where the vocabulary has none that is legal."""
        prepared, self._prepared = self._prepared, None
        token = sampler.choose(logits)
        if self._allows(token):
            self._n_willing += 1
            return token
        self._n_willing = 0
        if prepared is not None and sampler.takes_best:
            return sampler.choose(logits, _not_empty(prepared))
        allowed = self._candidates()
        for _ in range(N_QUICK):
            allowed[token] = False
            if not allowed.any():
                break
            token = sampler.choose(logits, allowed)
            if self._allows(token):
                return token
        return sampler.choose(logits, _not_empty(np.flatnonzero(self._mask())))

    def prepare(self) -> None:
        """Compute the mask of the next place, if the model's wishes were refused lately.

        The result of `choose` is the same with and without. Most models that were trained for a
        grammar want what it allows, and need no masks.
        """
        if self._stage == "answer" and self._n_willing < WILLING:
            self._prepared = np.flatnonzero(self._mask())

    def accept(self, token: int) -> None:
        """Note a token that `choose` or `forced` gave and that does not end the answer."""
        data = self._masks.pieces[token]
        if self._stage == "answer":
            following = self._masks.step(self._configuration, token)
            assert following is not None  # chosen because it is legal  # noqa: S101
            self._configuration = following
        elif self._stage == "start":
            self._pending += data
            if self._pending.startswith(_OPEN):
                self._stage, self._pending = "thought", self._pending[len(_OPEN) :]
                self._look_for_close()
            elif not _OPEN.startswith(self._pending):
                self._begin(self._pending)
        elif self._stage == "thought":
            self._pending += data
            self._look_for_close()
        elif data.strip():
            self._begin(data)
        else:
            self._gap += 1

    def forced(self) -> list[int]:
        """Tokens of the text that must follow now; empty where there is a choice."""
        if self._stage != "answer":
            return []
        data = self._configuration.forced()
        text = data.decode("utf-8", "ignore")  # a character may be forced in part
        if len(text) < 2:
            return []
        tokens = self._model.tokenize(text, after="text")
        configuration, kept = self._configuration, []
        for place, token in enumerate(tokens, start=1):
            piece = self._masks.pieces[token]
            following = self._masks.step(configuration, token)
            # the model may prefer a longer token that continues beyond the forced text
            if following is None or (
                place == len(tokens) and self._masks.extends(configuration, piece)
            ):
                break
            kept.append(token)
            configuration = following
        return kept

    def _allows(self, token: int) -> bool:
        if self._model.is_end(token):
            return self._stage == "answer" and self._configuration.accepting
        data = self._masks.pieces[token]
        if self._stage == "answer":
            return self._masks.step(self._configuration, token) is not None
        if not data:
            return False
        if self._stage == "thought":
            rest = (self._pending + data).partition(_CLOSE)[2]
            return not rest.strip() or self._after_gap(rest) is not None
        if self._stage == "start":
            text = self._pending + data
            opens = text.startswith(_OPEN) or _OPEN.startswith(text)
            return opens or self._configuration.advance(text) is not None
        if not data.strip():
            return self._gap < MAX_GAP
        return self._after_gap(data) is not None

    def _candidates(self) -> NDArray[np.bool_]:
        """Tokens that may be legal: all that are, and few others."""
        if self._stage != "answer":
            return np.ones(self._masks.n_tokens, bool)
        return self._with_ends(self._masks.quick_mask(self._configuration))

    def _mask(self) -> NDArray[np.bool_]:
        """Exactly the legal tokens."""
        if self._stage != "answer":
            return np.fromiter(map(self._allows, range(self._masks.n_tokens)), bool)
        return self._with_ends(self._masks.mask(self._configuration).copy())

    def _with_ends(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if self._configuration.accepting:
            allowed[self._model.end_tokens] = True
        return allowed

    def _look_for_close(self) -> None:
        _, close, rest = self._pending.partition(_CLOSE)
        if not close:
            self._pending = self._pending[-len(_CLOSE) + 1 :]
        elif rest.strip():
            self._begin(rest)
        else:
            self._stage, self._pending = "gap", b""

    def _begin(self, data: bytes) -> None:
        following = self._after_gap(data)
        assert following is not None  # chosen because it is legal  # noqa: S101
        self._stage, self._pending, self._configuration = "answer", b"", following

    def _after_gap(self, data: bytes) -> Configuration | None:
        """The configuration after the answer's first bytes, with or without leading white space."""
        return self._configuration.advance(data) or self._configuration.advance(data.lstrip())


def _not_empty(tokens: NDArray[np.intp]) -> NDArray[np.intp]:
    """``tokens``, the legal ones. Raises GrammarError if there are none."""
    if not tokens.size:
        raise GrammarError(
            "the grammar cannot be continued: no token of this model's vocabulary is legal "
            "after the text so far\nThe grammar may ask for characters that this model "
            "cannot write; `error.text` has the answer up to here."
        )
    return tokens
