"""What decides which tokens an answer may have, as an answer's decoding sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Sampler

__all__ = ["TokenConstraint"]


class TokenConstraint(Protocol):
    """The state of a constraint along one answer. `GrammarConstraint` is one."""

    @property
    def finished(self) -> bool:
        """Whether nothing may follow the tokens so far."""
        ...

    def choose(self, sampler: Sampler, logits: NDArray[np.float32]) -> int:
        """The next token, drawn from ``logits`` (n_vocab,).

        Raises GrammarError if the vocabulary has no token that is allowed.
        """
        ...

    def accept(self, token: int) -> None:
        """Advance by a token that `choose` or `forced` gave and that does not end the answer."""
        ...

    def forced(self) -> list[int]:
        """The tokens that must follow now, which need no logits; empty if there is a choice."""
        ...

    def prepare(self) -> None:
        """Compute what `choose` is likely to need next. It chooses the same without."""
        ...
