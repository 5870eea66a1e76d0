"""``POST /v1/chat/completions``."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from ..inference.off_loop import off_loop
from ..inference.results import AnswerToken, InferenceResult
from ..requests.builder import MAX_LOGPROBS
from .answering import Answering
from .answers import Ended, Event, Text
from .asking import read_asked, read_format, with_seeds
from .body import read_body
from .choices import Choices, includes_usage, read_n
from .conversing import ask_about
from .errors import invalid
from .fields import Fields
from .logprobs import chat_logprobs
from .messages import read_messages
from .service import Service, service_of
from .sse import event
from .tools.definitions import read_tools
from .tools.reader import Began, CallReader, Said, Told, read_answer

__all__ = ["ChatForm", "chat"]

_REFUSED = ("functions", "function_call", "audio", "web_search_options")


async def chat(request: Request) -> ASGIApp:
    """Read a request for an answer to a conversation."""
    service = service_of(request)
    body = await read_body(request)
    return await off_loop(lambda: _read(body, service))


def _read(body: Fields, service: Service) -> Answering:
    """Takes time for long prompts and for grammars, so it is called in a thread."""
    body.refuse(_REFUSED)
    talk = read_messages(body)
    tools = read_tools(body, nested=True)
    asked = read_asked(body, service, talk.question)
    schema = read_format(body.nested("response_format"), nested=True)
    ask = ask_about(body, service, asked, talk, tools=tools, schema=schema)
    ask["logprobs"] = _logprobs(body)
    n = read_n(body)
    return Answering(
        service=service,
        name=asked.name,
        model=asked.model,
        asks=with_seeds([ask] * n),
        form=ChatForm(
            asked.model,
            n,
            include_usage=includes_usage(body),
            logprobs=ask["logprobs"] is not None,
            tools=tools is not None,
        ),
        stream=body.flag("stream") or False,
    )


def _logprobs(body: Fields) -> int | None:
    """How many tokens are told at each place; None tells no probabilities."""
    n_top = body.whole("top_logprobs", 0, MAX_LOGPROBS)
    if body.flag("logprobs"):
        return n_top or 0
    if n_top:
        message = "Invalid 'top_logprobs': it needs 'logprobs' to be true."
        raise invalid("top_logprobs", message)
    return None


class ChatForm(Choices):
    """Objects of the kind ``chat.completion`` and its chunks; see `Form`."""

    kind = "chat"
    prefix = "chatcmpl"
    chunk = "chat.completion.chunk"

    def __init__(
        self, model: str, n: int, *, include_usage: bool, logprobs: bool, tools: bool
    ) -> None:
        """``tools``: whether answers may call some."""
        super().__init__(model, n, include_usage=include_usage)
        self._logprobs = logprobs
        self._readers = [CallReader() for _ in range(n)] if tools else []

    def whole(self, results: Sequence[InferenceResult]) -> Mapping[str, object]:
        choices = [self._choice(index, result) for index, result in enumerate(results)]
        return {**self._object("chat.completion", choices), "usage": self._usage(results)}

    def begin(self) -> Iterator[bytes]:
        for index in range(self._n):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def event(self, told: Event) -> Iterator[bytes]:
        index, reader = told.index, self._readers[told.index] if self._readers else None
        if isinstance(told, Text):
            said = reader.push(told.text) if reader is not None else [Said(told.text)]
            deltas = [_delta(one) for one in said]
            yield from self._deltas(index, deltas, told.tokens)
        elif isinstance(told, Ended):
            deltas = [_delta(one) for one in reader.finish()] if reader is not None else []
            yield from self._deltas(index, deltas, told.tokens)
            called = reader is not None and reader.n_calls > 0 and not reader.in_arguments
            reason = _reason(told.result, called)
            yield self._chunk(index, {}, reason)
        else:
            yield self._chunk(index, {"reasoning_content": told.text})

    def _deltas(
        self, index: int, deltas: list[dict[str, object]], tokens: Sequence[AnswerToken]
    ) -> Iterator[bytes]:
        """A chunk for each delta; the first one tells the probabilities of ``tokens``."""
        if tokens and not deltas:
            deltas = [{}]
        for place, delta in enumerate(deltas):
            yield self._chunk(index, delta, tokens=tokens if place == 0 else ())

    def _chunk(
        self,
        index: int,
        delta: Mapping[str, object],
        reason: str | None = None,
        tokens: Sequence[AnswerToken] = (),
    ) -> bytes:
        choice: dict[str, object] = {"index": index, "delta": delta, "finish_reason": reason}
        if self._logprobs:
            choice["logprobs"] = chat_logprobs(tokens) if tokens else None
        return event(self._object(self.chunk, [choice]))

    def _choice(self, index: int, result: InferenceResult) -> dict[str, object]:
        text, calls = read_answer(result.text) if self._readers else (result.text, [])
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None}
        if result.thinking:
            message["reasoning_content"] = result.thinking
        if calls:
            message["content"] = text or None
            message["tool_calls"] = [
                {**_call_head(), "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(result.logprobs) if self._logprobs else None,
            "finish_reason": _reason(result, bool(calls) and calls[-1].whole),
        }


def _reason(result: InferenceResult, called: bool) -> str:
    """``called``: the answer has calls, and none that a text of ``stop`` has cut off."""
    return "tool_calls" if called and result.finish_reason == "stop" else result.finish_reason


def _delta(told: Told) -> dict[str, object]:
    """What a piece of an answer adds to the message."""
    if isinstance(told, Said):
        return {"content": told.text}
    if isinstance(told, Began):
        head, function = _call_head(), {"name": told.name, "arguments": ""}
        return {"tool_calls": [{"index": told.index, **head, "function": function}]}
    return {"tool_calls": [{"index": told.index, "function": {"arguments": told.text}}]}


def _call_head() -> dict[str, object]:
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function"}
