"""Soft prompts in lists of tokens: rows of embeddings that take the place of tokens.

A virtual token is an integer that carries its embedding. Its value is negative, and follows from
the digest of the whole soft prompt and from its place in it. So two lists that share a prefix of
integers share a prefix of inputs, whether these are tokens or embeddings, and whatever compares,
shares or keeps prefixes needs to know nothing of soft prompts. Virtual tokens stand before all
tokens, as in PEFT.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VirtualToken", "embeddings_of", "n_virtual", "virtual_tokens"]

_PLACE_BITS = 32
"""Bits for a place in a soft prompt; those above come from the digest."""


class VirtualToken(int):
    """The id of a virtual token, with its ``embedding`` (n_embd,)."""

    embedding: NDArray[np.float32]


def virtual_tokens(digest: str, embeddings: NDArray[np.float32]) -> list[int]:
    """The virtual tokens of a soft prompt with this SHA-256 and these rows (tokens, n_embd)."""
    prompt = int(digest, 16) << _PLACE_BITS
    tokens: list[int] = []
    for place, row in enumerate(embeddings):
        token = VirtualToken(~(prompt | place))
        token.embedding = row
        tokens.append(token)
    return tokens


def n_virtual(tokens: Sequence[int]) -> int:
    """How many virtual tokens ``tokens`` begins with."""
    if not tokens or tokens[0] >= 0:
        return 0
    return bisect_left(tokens, True, key=lambda token: token >= 0)


def embeddings_of(tokens: Sequence[int]) -> NDArray[np.float32]:
    """The rows (tokens, n_embd) of virtual tokens. Raises ValueError for any other token."""
    rows = [token.embedding for token in tokens if isinstance(token, VirtualToken)]
    if len(rows) != len(tokens):
        raise ValueError("virtual tokens and tokens are computed apart")
    return np.stack(rows)
