"""What a generation returns."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AnswerToken", "InferenceResult", "TokenLogprob", "TokenScore"]


@dataclass(frozen=True)
class TokenLogprob:
    """A token, and how probable it was at its place."""

    token: int
    data: bytes
    """The token's text as UTF-8, of which a character may be only a part."""
    logprob: float
    """Natural logarithm of the probability that the model gave it, whatever a bias, a grammar or
    the sampling values made of it; 0 for a token that a grammar forced."""


@dataclass(frozen=True)
class AnswerToken(TokenLogprob):
    """A token of an answer."""

    top: tuple[TokenLogprob, ...]
    """The most probable tokens at its place, the most probable first."""


@dataclass(frozen=True)
class InferenceResult:
    """One finished answer.

    ``finish_reason`` is ``"stop"`` (an end token, a stop sequence or the end of a
    grammar), ``"length"`` (``max_tokens`` or the end of the context), ``"timeout"``,
    ``"cancelled"`` (the stream was closed) or ``"error"``; in the last three cases
    ``text`` is what had come by then.
    """

    text: str
    """The answer, without any thought and without the stop sequence."""
    thinking: str
    """What stood between ``<think>`` and ``</think>``; empty when there was no thought."""
    finish_reason: str
    stop_sequence: str | None
    """The stop sequence that ended the answer, or None."""
    prompt_tokens: int
    """Tokens of the prompt, the virtual tokens of a soft prompt included."""
    cached_prompt_tokens: int
    """Tokens of the prompt that were still in the KV cache and not computed again."""
    completion_tokens: int
    """Generated tokens, including the thought and the end token."""
    forced_tokens: int
    """Generated tokens that the grammar forced."""
    thinking_tokens: int
    """Generated tokens of the thought."""
    time_to_first_token: float
    """Seconds from the call to the first generated token."""
    time_in_queue: float
    """The part of these seconds in which other requests had all streams of the KV cache."""
    prompt_tokens_per_second: float
    """Speed of computing the part of the prompt that was not cached; 0 if nothing was."""
    tokens_per_second: float
    """Speed of generation after the first token; 0 with fewer than two tokens."""
    expert: str
    """``name@version`` of the expert."""
    seed: int
    """Seed of the random draws; the same seed and input give the same answer."""
    logprobs: tuple[AnswerToken, ...] = ()
    """The tokens of ``text`` with their probabilities, if ``logprobs`` asked for them."""
    virtual_prompt_tokens: int = 0
    """Tokens of the prompt that are the expert's soft prompt."""


@dataclass(frozen=True)
class TokenScore:
    """How probable one token of a given completion was, after all before it."""

    token: int
    text: str
    """The token's text; a replacement character where it is part of a character."""
    logprob: float
    """Natural logarithm of its probability."""
    top_token: int
    """The most probable token at this place."""
    top_logprob: float
