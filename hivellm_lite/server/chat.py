"""``POST /v1/chat/completions``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from ..inference.off_loop import off_loop
from ..inference.results import InferenceResult
from ..prompts.tags import RAW, system_message
from ..requests.options import BatchPrompt
from .answering import Answering
from .answers import Ended, Event, Text
from .asking import UNSUPPORTED, Asked, read_asked, read_options, with_seeds
from .body import read_body
from .choices import Choices, includes_usage, read_n
from .fields import Fields
from .messages import read_messages
from .service import Service, service_of
from .sse import event

__all__ = ["ChatForm", "chat"]

_REFUSED = (*UNSUPPORTED, "tools", "functions", "audio", "web_search_options")


async def chat(request: Request) -> ASGIApp:
    """Read a request for an answer to a conversation."""
    service = service_of(request)
    body = await read_body(request)
    return await off_loop(lambda: _read(body, service))


def _read(body: Fields, service: Service) -> Answering:
    """Takes time for long prompts and for grammars, so it is called in a thread."""
    body.refuse(_REFUSED)
    messages = read_messages(body)
    asked = read_asked(body, service, {"messages": messages})
    ask = BatchPrompt(prompt=None, **read_options(body, service, asked))
    ask["messages"] = messages
    if messages[0]["role"] != "system":
        ask["system"] = _system(asked, ask)
    n = read_n(body)
    return Answering(
        service=service,
        name=asked.name,
        model=asked.model,
        asks=with_seeds([ask] * n),
        form=ChatForm(asked.model, n, include_usage=includes_usage(body)),
        stream=body.flag("stream") or False,
    )


def _system(asked: Asked, ask: BatchPrompt) -> str | None:
    """The system message that the expert was trained with, where the client gives none."""
    if asked.manifest is None or ask.get("schema") is not None or ask.get("template") == RAW:
        return None
    return system_message(asked.manifest, None)


class ChatForm(Choices):
    """Objects of the kind ``chat.completion`` and its chunks; see `Form`."""

    kind = "chat"
    prefix = "chatcmpl"
    chunk = "chat.completion.chunk"

    def whole(self, results: Sequence[InferenceResult]) -> Mapping[str, object]:
        choices = [
            {
                "index": index,
                "message": _message(result),
                "logprobs": None,
                "finish_reason": result.finish_reason,
            }
            for index, result in enumerate(results)
        ]
        return {**self._object("chat.completion", choices), "usage": self._usage(results)}

    def begin(self) -> Iterator[bytes]:
        for index in range(self._n):
            yield self._chunk(index, {"role": "assistant", "content": ""})

    def event(self, told: Event) -> Iterator[bytes]:
        if isinstance(told, Ended):
            yield self._chunk(told.index, {}, told.result.finish_reason)
        else:
            name = "content" if isinstance(told, Text) else "reasoning_content"
            yield self._chunk(told.index, {name: told.text})

    def _chunk(self, index: int, delta: Mapping[str, str], reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        return event(self._object(self.chunk, [choice]))


def _message(result: InferenceResult) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": result.text, "refusal": None}
    if result.thinking:
        message["reasoning_content"] = result.thinking
    return message
