"""``POST /v1/completions``: texts that an expert continues, without a chat template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from ..inference.off_loop import off_loop
from ..inference.results import AnswerToken, InferenceResult
from ..prompts.tags import RAW
from ..requests.builder import MAX_LOGPROBS
from ..requests.options import BatchPrompt
from .answering import Answering
from .answers import Ended, Event, Text
from .asking import MAX_CHOICES, read_asked, read_format, read_options, with_seeds
from .body import read_body
from .choices import Choices, includes_usage, read_n
from .errors import invalid, unsupported
from .fields import Fields, type_error
from .logprobs import completion_logprobs
from .service import Service, service_of
from .sse import event

__all__ = ["CompletionForm", "completions"]

MAX_PROMPTS = 256
"""The most prompts of one request."""


async def completions(request: Request) -> ASGIApp:
    """Read a request for the continuation of one or several texts."""
    service = service_of(request)
    body = await read_body(request)
    return await off_loop(lambda: _read(body, service))


def _read(body: Fields, service: Service) -> Answering:
    """Takes time for long prompts and for grammars, so it is called in a thread."""
    body.refuse(("echo", "suffix"))
    prompts = _prompts(body)
    asked = read_asked(body, service, prompts[0])
    ask = read_options(body, service, asked)
    if ask.get("template") is None and ask.get("schema") is None:
        ask["template"] = RAW
    schema = read_format(body.nested("response_format"), nested=True)
    if schema is not None:
        ask["json_schema"] = schema
    ask["logprobs"] = body.whole("logprobs", 0, MAX_LOGPROBS)
    n = read_n(body)
    if (body.whole("best_of", 1, MAX_CHOICES) or n) != n:
        raise unsupported("best_of", "Ask for 'n' answers instead.")
    asks = [BatchPrompt(**{**ask, "prompt": prompt}) for prompt in prompts for _ in range(n)]
    return Answering(
        service=service,
        name=asked.name,
        model=asked.model,
        asks=with_seeds(asks),
        form=CompletionForm(
            asked.model,
            n,
            include_usage=includes_usage(body),
            logprobs=ask["logprobs"] is not None,
        ),
        stream=body.flag("stream") or False,
    )


def _prompts(body: Fields) -> list[str]:
    body.required("prompt")
    value = body.value("prompt")
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise invalid("prompt", "Invalid 'prompt': it is empty.")
    if len(listed) > MAX_PROMPTS:
        raise invalid("prompt", f"Invalid 'prompt': more than {MAX_PROMPTS} prompts.")
    prompts: list[str] = []
    for one in listed:
        if isinstance(one, (int, list)) and not isinstance(one, bool):
            raise unsupported("prompt", "Tokens cannot be read; send text.")
        if not isinstance(one, str):
            raise type_error("prompt", "a string or an array of strings", one)
        prompts.append(one)
    return prompts


class CompletionForm(Choices):
    """Objects of the kind ``text_completion``, whole and as chunks; see `Form`."""

    kind = "completion"
    prefix = "cmpl"
    chunk = "text_completion"

    def __init__(self, model: str, n: int, *, include_usage: bool, logprobs: bool) -> None:
        super().__init__(model, n, include_usage=include_usage)
        self._logprobs = logprobs
        self._offsets: dict[int, int] = {}

    def whole(self, results: Sequence[InferenceResult]) -> Mapping[str, object]:
        choices = [
            self._choice(
                index,
                result.text,
                result.finish_reason,
                thought=result.thinking,
                tokens=result.logprobs,
            )
            for index, result in enumerate(results)
        ]
        return {**self._object(self.chunk, choices), "usage": self._usage(results)}

    def begin(self) -> Iterator[bytes]:
        yield from ()

    def event(self, told: Event) -> Iterator[bytes]:
        if isinstance(told, Ended):
            reason = told.result.finish_reason
            choice = self._choice(told.index, "", reason, tokens=told.tokens)
        elif isinstance(told, Text):
            choice = self._choice(told.index, told.text, tokens=told.tokens)
        else:
            choice = self._choice(told.index, "", thought=told.text)
        yield event(self._object(self.chunk, [choice]))

    def _choice(
        self,
        index: int,
        text: str,
        reason: str | None = None,
        *,
        thought: str = "",
        tokens: Sequence[AnswerToken] = (),
    ) -> Mapping[str, object]:
        logprobs = None
        if self._logprobs:
            logprobs = completion_logprobs(tokens, self._offsets.get(index, 0))
            n_chars = sum(map(len, logprobs["tokens"]))
            self._offsets[index] = self._offsets.get(index, 0) + n_chars
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return {**choice, "reasoning_content": thought} if thought else choice
