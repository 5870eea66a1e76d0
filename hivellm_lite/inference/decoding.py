"""One answer in the making: logits in, tokens and text out.

Contract: one `Request` gives one answer; the same request with the same seed gives
the same answer. What this module does not know: contexts, threads, packages, files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..engine.virtual_tokens import n_virtual
from ..errors import GrammarError
from ..sampling import SamplingParams
from .answer import AnswerText
from .logprobs import AnswerLogprobs
from .results import InferenceResult
from .stops import StopScanner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Applied, Model
    from .token_constraint import TokenConstraint

__all__ = ["AnswerDecoding", "Request"]


@dataclass(frozen=True)
class Request:
    """Everything that one answer depends on.

    ``prompt`` may begin with virtual tokens, and ends with at least one token. ``constraint`` makes
    the state of a grammar for one answer; None is free text. ``timeout``: seconds from the
    submission. ``end_token``: one more token that ends the answer. ``in_thought``: the prompt ends
    inside a thought. ``logit_bias``: what is added to the logits of tokens. ``logprobs``: most
    probable tokens to note at each place; None notes nothing.
    """

    expert: str
    prompt: list[int]
    applied: Applied
    sampling: SamplingParams
    seed: int
    max_tokens: int
    literal_stops: tuple[str, ...]
    balanced_stops: tuple[str, ...]
    constraint: Callable[[], TokenConstraint] | None = None
    timeout: float | None = None
    end_token: int | None = None
    in_thought: bool = False
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None


class AnswerDecoding:
    """The state of one answer.

    The scheduler says when it begins (`admit`), and passes the last token's logits to `take` until
    ``finish_reason`` is set. `take` is `decide`, which is all that the next decode waits for, and
    `show`, which can be done while a device computes.
    """

    def __init__(self, request: Request, model: Model, n_ctx: int) -> None:
        from ..engine import Sampler  # loads llama.cpp

        self.request = request
        self.tokens = list(request.prompt)
        self.n_virtual = n_virtual(self.tokens)
        self.finish_reason: str | None = None
        self.error: BaseException | None = None
        self.cached = 0
        """Prompt tokens that were in the KV cache already."""
        self.n_forced = 0
        self._n_shown = len(self.tokens)
        self._ending: str | None = None
        self._n_thinking = 0
        self._model = model
        self._room = min(request.max_tokens, n_ctx - len(request.prompt))
        self._answer = AnswerText(
            StopScanner(literal=request.literal_stops, balanced=request.balanced_stops),
            in_thought=request.in_thought,
        )
        self._constraint = request.constraint() if request.constraint is not None else None
        self._sampler = Sampler(request.sampling, request.seed, model.n_vocab)
        self._sampler.accept(self.tokens[self.n_virtual :])
        self._bias = [*request.logit_bias], [*request.logit_bias.values()]
        self._logprobs = (
            None if request.logprobs is None else AnswerLogprobs(model, request.logprobs)
        )
        self._started = time.perf_counter()
        self._admitted = 0.0
        self._first = 0.0
        self._ended = 0.0

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def ending(self) -> bool:
        """Whether no further token is wanted."""
        return self._ending is not None or self.finished

    @property
    def may_stop(self) -> bool:
        """Whether the text of a token may end the answer."""
        return bool(self.request.literal_stops or self.request.balanced_stops)

    @property
    def n_generated(self) -> int:
        return len(self.tokens) - len(self.request.prompt)

    @property
    def length(self) -> int:
        """Positions that this answer may need in all."""
        return len(self.request.prompt) + self._room

    def admit(self, cached: int) -> None:
        """Note that computing begins. ``cached``: prompt tokens that were in the KV cache."""
        if self._admitted == 0.0:  # not when it comes back after others had its stream
            self._admitted = time.perf_counter()
            self.cached = cached

    def take(self, logits: NDArray[np.float32]) -> str:
        """Choose the next token, and those that must follow it; returns the text they show.

        ``logits`` (n_vocab,) follow the last of ``tokens``.
        """
        self.decide(logits)
        return self.show()

    def decide(self, logits: NDArray[np.float32]) -> None:
        """The first part of `take`: choose the tokens.

        Afterwards `ending` says whether the answer ends with them, unless a stop sequence in their
        text ends it.
        """
        # 1. the next token; the first one ends the prompt's time
        try:
            token = self._choose(logits)
        except GrammarError as error:
            self.fail(error)
            return
        if self._first == 0.0:
            self._first = time.perf_counter()
        self._append(token)
        # 2. what a grammar leaves no choice about needs no logits
        if self._constraint is not None and not self.ending:
            for forced in self._constraint.forced():
                self._append(forced)
                if self.ending:
                    break

    def show(self) -> str:
        """The second part of `take`: the text that the decided tokens show."""
        if self.finished:
            return ""
        shown, first = "", self._n_shown
        for place in range(first, len(self.tokens)):
            token = self.tokens[place]
            if place > first:
                self.n_forced += 1
            self._n_shown = place + 1
            if self._ends(token):  # it has no text
                break
            # text that is whole, not a thought, and not the start of a stop
            shown += self._answer.push(self._model.piece(token))
            if self._answer.in_thought:
                self._n_thinking = self._n_shown - len(self.request.prompt)  # a thought comes first
            if self._logprobs is not None:
                self._logprobs.note(token, in_thought=self._answer.in_thought)
            if self._answer.stopped_by is not None:
                del self.tokens[self._n_shown :]
                return shown + self.finish("stop")
        return shown if self._ending is None else shown + self.finish(self._ending)

    def prepare(self) -> None:
        """Compute what the next `decide` is likely to need, while a device computes its logits."""
        if self._constraint is not None and not self.ending:
            self._constraint.prepare()

    def finish(self, reason: str) -> str:
        """End the answer; returns the text that was held back."""
        if self.finished:
            return ""
        self.finish_reason = reason
        shown = self._answer.finish()
        if self._answer.stopped_by is not None:
            self.finish_reason = "stop"
        if self._logprobs is not None:
            self._logprobs.end(self._answer.text)
        self._close()
        return shown

    def fail(self, error: BaseException) -> str:
        """End the answer with an error, which the caller gets."""
        if not self.finished:
            self.error = error
            self.finish_reason = "error"
            self._answer.finish()
            self._close()
            if isinstance(error, GrammarError):
                error.text = self._answer.text
        return ""

    def result(self) -> InferenceResult:
        """What there is so far; the whole answer once ``finish_reason`` is set."""
        ended = self._ended or time.perf_counter()  # another thread may be ending it
        first = self._first or ended
        waited, decoded = first - self._started, ended - first
        computed = len(self.request.prompt) - self.cached
        return InferenceResult(
            text=self._answer.text,
            thinking=self._answer.thinking,
            finish_reason=self.finish_reason or "cancelled",
            stop_sequence=self._answer.stopped_by,
            prompt_tokens=len(self.request.prompt),
            virtual_prompt_tokens=self.n_virtual,
            cached_prompt_tokens=self.cached,
            completion_tokens=self.n_generated,
            forced_tokens=self.n_forced,
            thinking_tokens=self._n_thinking,
            time_to_first_token=waited,
            time_in_queue=(self._admitted or ended) - self._started,
            prompt_tokens_per_second=computed / waited if waited > 0 else 0.0,
            tokens_per_second=(self.n_generated - 1) / decoded if self.n_generated > 1 else 0.0,
            expert=self.request.expert,
            seed=self.request.seed,
            logprobs=() if self._logprobs is None else self._logprobs.noted(),
        )

    def _choose(self, logits: NDArray[np.float32]) -> int:
        """The next token: bias, grammar, sampling. Only here does an answer meet its logits."""
        own = logits
        if self._bias[0]:
            logits = logits.copy()  # they are the context's
            logits[self._bias[0]] += self._bias[1]
        if self._constraint is None:
            token = self._sampler.choose(logits)
        else:
            token = self._constraint.choose(self._sampler, logits)
        if self._logprobs is not None:
            self._logprobs.judge(own, token)
        return token

    def _append(self, token: int) -> None:
        """Take a token into the answer, and note whether the answer ends with it."""
        self.tokens.append(token)
        self._sampler.accept([token])
        if self._ends(token):
            self._ending = "stop"
            return
        if self._constraint is not None:
            self._constraint.accept(token)
            if self._constraint.finished:
                self._ending = "stop"
                return
        if self.n_generated >= self._room:  # no room for another token
            self._ending = "length"

    def _ends(self, token: int) -> bool:
        return token == self.request.end_token or self._model.is_end(token)

    def _close(self) -> None:
        self._ended = time.perf_counter()
        self._sampler.close()
