"""Probabilities of tokens in the forms of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..inference.results import AnswerToken, TokenLogprob

__all__ = ["TokenPieces", "chat_logprobs", "completion_logprobs", "token_logprobs"]

LOWEST = -9999.0
"""Stands for the logarithm of 0, which JSON cannot write; OpenAI's value."""


def token_logprobs(tokens: Sequence[AnswerToken]) -> list[dict[str, object]]:
    """Each token with the most probable ones at its place."""
    return [{**_named(one), "top_logprobs": [_named(top) for top in one.top]} for one in tokens]


def chat_logprobs(tokens: Sequence[AnswerToken]) -> dict[str, object]:
    """The ``logprobs`` of a choice of a chat."""
    return {"content": token_logprobs(tokens), "refusal": None}


def completion_logprobs(tokens: Sequence[AnswerToken], offset: int = 0) -> dict[str, list[Any]]:
    """The ``logprobs`` of a choice of a text completion; ``offset`` is where its text begins."""
    texts, offsets = [], []
    for one in tokens:
        texts.append(_text(one))
        offsets.append(offset)
        offset += len(texts[-1])
    return {
        "tokens": texts,
        "token_logprobs": [max(one.logprob, LOWEST) for one in tokens],
        "top_logprobs": [{_text(t): max(t.logprob, LOWEST) for t in one.top} for one in tokens],
        "text_offset": offsets,
    }


class TokenPieces:
    """Shares the tokens of an answer out to the pieces of its text as they are sent."""

    def __init__(self) -> None:
        self._n_tokens = 0
        self._n_bytes = 0

    def take(self, tokens: Sequence[AnswerToken], text: str | None) -> tuple[AnswerToken, ...]:
        """The tokens that end within all text so far, ``text`` included; None is the end."""
        if text is None:
            taken = tuple(tokens[self._n_tokens :])
            self._n_tokens = len(tokens)
            return taken
        self._n_bytes += len(text.encode("utf-8"))
        first = self._n_tokens
        for one in tokens[first:]:
            if len(one.data) > self._n_bytes:
                break
            self._n_bytes -= len(one.data)
            self._n_tokens += 1
        return tuple(tokens[first : self._n_tokens])


def _named(token: TokenLogprob) -> dict[str, object]:
    return {
        "token": _text(token),
        "logprob": max(token.logprob, LOWEST),
        "bytes": list(token.data),
    }


def _text(token: TokenLogprob) -> str:
    return token.data.decode("utf-8", "replace")
