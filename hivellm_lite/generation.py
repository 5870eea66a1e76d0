"""The generation loop: a prompt's tokens in, pieces of text out.

Contract: one `Request` gives one answer; the same request with the same seed
gives the same answer. Between two tokens the session is free for others. What
this module does not know: packages, templates, files.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .answer import AnswerText
from .errors import ContextLengthError
from .results import InferenceResult, TokenScore
from .sampling import SamplingParams
from .session import Session
from .stops import StopScanner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Adapter

__all__ = ["Request", "TextStream", "log_probabilities", "score_tokens"]


@dataclass(frozen=True)
class Request:
    """Everything that one generation depends on."""

    expert: str
    prompt: list[int]
    adapter: Adapter | None
    adapter_scale: float
    sampling: SamplingParams
    seed: int
    max_tokens: int
    literal_stops: tuple[str, ...]
    balanced_stops: tuple[str, ...]


class TextStream(Generator[str, None, InferenceResult]):
    """Pieces of an answer's text while it is generated.

    Iterate it; `result` is there afterwards, also when it was closed early::

        with expert.generate_stream("…") as stream:
            for piece in stream:
                print(piece, end="")
        print(stream.result.finish_reason)

    The result is also the generator's return value (``yield from``). Closing
    stops the decoding; the expert stays usable. Nothing is computed before the
    first piece is asked for, so a stream closed before that has no result.
    """

    def __init__(self, session: Session, request: Request) -> None:
        self.result: InferenceResult | None = None
        self._pieces = self._generate(session, request)

    def send(self, value: None, /) -> str:
        return self._pieces.send(value)

    def throw(self, typ, val=None, tb=None, /):  # type: ignore[no-untyped-def]
        return self._pieces.throw(typ, val, tb) if val or tb else self._pieces.throw(typ)

    def close(self) -> None:
        """Stop generating. `result` then has ``finish_reason="cancelled"``."""
        self._pieces.close()

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _generate(
        self, session: Session, request: Request
    ) -> Generator[str, None, InferenceResult]:
        from .engine import Sampler

        started = time.perf_counter()
        first = started
        cached = 0
        finish_reason = "cancelled"
        model = session.model
        tokens = list(request.prompt)
        room = min(request.max_tokens, session.context.n_ctx - len(tokens))
        answer = AnswerText(
            StopScanner(literal=request.literal_stops, balanced=request.balanced_stops)
        )
        sampler = Sampler(request.sampling, request.seed, model.n_vocab)
        sampler.accept(tokens)
        try:
            while True:
                # 1. the logits behind all tokens so far (the whole prompt, at first)
                with session.lock:
                    kept = session.advance(tokens, request.adapter, request.adapter_scale)
                    token = sampler.sample(session.context)
                # 2. the first token ends the prompt's time
                if len(tokens) == len(request.prompt):
                    first, cached = time.perf_counter(), kept
                tokens.append(token)
                # 3. an end token ends the answer; it has no text
                if model.is_end(token):
                    finish_reason = "stop"
                    break
                # 4. text that is whole, not a thought, and not the start of a stop
                if piece := answer.push(model.piece(token)):
                    yield piece
                if answer.stopped_by is not None:
                    finish_reason = "stop"
                    break
                # 5. no room for another token
                if len(tokens) - len(request.prompt) >= room:
                    finish_reason = "length"
                    break
            if piece := answer.finish():
                yield piece
            if answer.stopped_by is not None:
                finish_reason = "stop"
        finally:
            sampler.close()
            ended = time.perf_counter()
            n_prompt, n_new = len(request.prompt), len(tokens) - len(request.prompt)
            computed = n_prompt - cached
            self.result = InferenceResult(
                text=answer.text,
                thinking=answer.thinking,
                finish_reason=finish_reason,
                stop_sequence=answer.stopped_by,
                prompt_tokens=n_prompt,
                cached_prompt_tokens=cached,
                completion_tokens=n_new,
                time_to_first_token=first - started,
                prompt_tokens_per_second=computed / (first - started) if first > started else 0.0,
                tokens_per_second=(n_new - 1) / (ended - first) if n_new > 1 else 0.0,
                expert=request.expert,
                seed=request.seed,
            )
        return self.result


def check_length(session: Session, n_prompt: int, n_completion: int = 1) -> None:
    """Raise ContextLengthError if prompt and completion cannot stand in the context."""
    n_ctx, trained = session.context.n_ctx, session.model.n_ctx_train
    needed = n_prompt + n_completion
    if needed <= n_ctx:
        return
    rounded = min(-(-needed // 1024) * 1024, trained)
    advice = f"Load with n_ctx={rounded} (--n-ctx {rounded})" if needed <= trained else "Shorten it"
    raise ContextLengthError(
        f"the prompt has {n_prompt} tokens, which leaves no room for {n_completion} more "
        f"in a context of {n_ctx}\n{advice}; this model was trained on {trained} positions."
    )


def score_tokens(
    session: Session,
    prompt: list[int],
    completion: list[int],
    adapter: Adapter | None,
    adapter_scale: float,
) -> list[TokenScore]:
    """Log-probability of each completion token after the prompt and those before it."""
    scores: list[TokenScore] = []
    model = session.model
    for rows in log_probabilities(session, prompt, completion, adapter, adapter_scale):
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


def log_probabilities(
    session: Session,
    prompt: list[int],
    completion: list[int],
    adapter: Adapter | None,
    adapter_scale: float = 1.0,
) -> Iterator[NDArray[np.float64]]:
    """Natural logarithms (tokens, vocabulary) behind every completion token, in blocks."""
    context = session.context
    tokens = prompt + completion
    place = len(prompt)
    while place < len(tokens):
        # token k is judged by the logits behind token k - 1
        n = min(context.n_outputs, len(tokens) - place)
        with session.lock:
            session.advance(tokens[: place + n - 1], adapter, adapter_scale, n_logits=n)
            rows = np.stack([context.logits(i - n) for i in range(n)]).astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        yield rows
        place += n
