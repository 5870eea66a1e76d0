"""Writes a response, whole or as events. See https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...inference.results import AnswerToken, InferenceResult
from ..answers import Ended, Event, Text, Thought
from ..errors import APIError
from ..logprobs import TokenPieces, token_logprobs
from ..sse import event
from ..tools.reader import Began, CallReader, Said, Told, read_answer

__all__ = ["ResponseForm"]


class ResponseForm:
    """See `Form`. The items of ``output`` are written one after the other, so at most the last
    one is open.
    """

    kind = "response"

    def __init__(self, model: str, told_again: Mapping[str, object], *, tools: bool) -> None:
        """``told_again``: fields of the request. ``tools``: whether the answer may call some."""
        self._output: list[dict[str, Any]] = []
        self._response: dict[str, Any] = {
            "id": _new_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": self._output,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            **told_again,
        }
        self._reader = CallReader() if tools else None
        self._untold: list[AnswerToken] = []
        """Tokens whose text is held back, as it may begin a call."""
        self._n_events = 0

    def whole(self, results: Sequence[InferenceResult]) -> Mapping[str, object]:
        (result,) = results
        tokens = tuple(result.logprobs)
        if self._reader is not None and tokens:
            text, calls = read_answer(result.text)
            tokens = TokenPieces().take(tokens, text) if calls else tokens
        if result.thinking:
            list(self.event(Thought(0, result.thinking)))
        list(self.event(Text(0, result.text, tokens)))
        list(self.event(Ended(0, result)))
        return self._response

    def begin(self) -> Iterator[bytes]:
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._response)

    def event(self, told: Event) -> Iterator[bytes]:
        said: Iterable[Told] = ()
        if isinstance(told, Thought):
            yield from self._thought(told.text)
        elif isinstance(told, Text):
            said = [Said(told.text)] if self._reader is None else self._reader.push(told.text)
            yield from self._said(said, told.tokens)
        else:
            if self._reader is not None:
                said = self._reader.finish()
            yield from self._said(said, told.tokens)
            yield from self._end(told.result)

    def finish(self, results: Sequence[InferenceResult]) -> Iterator[bytes]:  # noqa: ARG002
        yield self._event(f"response.{self._response['status']}", response=self._response)

    def failure(self, error: APIError) -> Iterator[bytes]:
        told = {"code": error.code or "server_error", "message": error.message}
        self._response.update(status="failed", error=told)
        yield self._event("response.failed", response=self._response)

    # --- items -----------------------------------------------------------------------

    def _thought(self, text: str) -> Iterator[bytes]:
        yield self._open({"type": "reasoning", "id": _new_id("rs"), "summary": [], "content": []})
        place, part = {"content_index": 0}, {"type": "reasoning_text", "text": ""}
        yield self._of_item("response.content_part.added", **place, part=part)
        yield self._of_item("response.reasoning_text.delta", **place, delta=text)
        part["text"] = text
        self._output[-1]["content"].append(part)
        yield self._of_item("response.reasoning_text.done", **place, text=text)
        yield self._of_item("response.content_part.done", **place, part=part)
        yield from self._close("completed")

    def _said(self, said: Iterable[Told], tokens: Sequence[AnswerToken]) -> Iterator[bytes]:
        if not self._is_open("function_call"):
            self._untold += tokens
        for one in said:
            if isinstance(one, Said):
                untold, self._untold = self._untold, []
                yield from self._text(one.text, untold)
            elif isinstance(one, Began):
                self._untold = []
                yield from self._close("completed")
                head = {"type": "function_call", "id": _new_id("fc"), "call_id": _new_id("call")}
                yield self._open({**head, "name": one.name, "arguments": ""})
            else:
                self._output[-1]["arguments"] += one.text
                yield self._of_item("response.function_call_arguments.delta", delta=one.text)

    def _text(self, text: str, tokens: Sequence[AnswerToken]) -> Iterator[bytes]:
        """A piece of the message, which it begins if there is none."""
        if not self._is_open("message"):
            item = {"type": "message", "id": _new_id("msg"), "role": "assistant", "content": []}
            yield self._open(item)
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            yield self._of_item("response.content_part.added", content_index=0, part=part)
            self._output[-1]["content"].append(part)
        part = self._output[-1]["content"][0]
        logprobs = token_logprobs(tokens)
        part["text"] += text
        part["logprobs"] += logprobs
        yield self._of_item(
            "response.output_text.delta", content_index=0, delta=text, logprobs=logprobs
        )

    def _end(self, result: InferenceResult) -> Iterator[bytes]:
        """Close what is open, and say how the response ended."""
        if all(item["type"] == "reasoning" for item in self._output):
            yield from self._text("", ())
        if self._is_open("message"):
            self._output[-1]["content"][0]["logprobs"] += token_logprobs(self._untold)
        is_cut = result.finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        is_whole = self._reader is None or not self._reader.in_arguments
        yield from self._close(status if is_whole else "incomplete")
        self._response.update(
            status=status,
            incomplete_details={"reason": "max_output_tokens"} if is_cut else None,
            usage=_usage(result),
        )

    def _is_open(self, kind: str) -> bool:
        last = self._output[-1] if self._output else {}
        return last.get("type") == kind and last["status"] == "in_progress"

    def _open(self, item: dict[str, Any]) -> bytes:
        item["status"] = "in_progress"
        self._output.append(item)
        return self._event("response.output_item.added", output_index=self._last, item=item)

    def _close(self, status: str) -> Iterator[bytes]:
        """End the last item, if it is open."""
        if self._is_open("message"):
            part = self._output[-1]["content"][0]
            place = {"content_index": 0}
            told = {"text": part["text"], "logprobs": part["logprobs"]}
            yield self._of_item("response.output_text.done", **place, **told)
            yield self._of_item("response.content_part.done", **place, part=part)
        elif self._is_open("function_call"):
            called = {name: self._output[-1][name] for name in ("name", "arguments")}
            yield self._of_item("response.function_call_arguments.done", **called)
        elif not self._is_open("reasoning"):
            return
        item = self._output[-1]
        item["status"] = status
        yield self._event("response.output_item.done", output_index=self._last, item=item)

    # --- events ----------------------------------------------------------------------

    @property
    def _last(self) -> int:
        return len(self._output) - 1

    def _of_item(self, kind: str, **fields: object) -> bytes:
        """An event of the last item."""
        item_id = self._output[-1]["id"]
        return self._event(kind, item_id=item_id, output_index=self._last, **fields)

    def _event(self, kind: str, **fields: object) -> bytes:
        numbered = {"type": kind, "sequence_number": self._n_events, **fields}
        self._n_events += 1
        return event(numbered, name=kind)


def _usage(result: InferenceResult) -> dict[str, object]:
    return {
        "input_tokens": result.prompt_tokens,
        "input_tokens_details": {"cached_tokens": result.cached_prompt_tokens},
        "output_tokens": result.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": result.thinking_tokens},
        "total_tokens": result.prompt_tokens + result.completion_tokens,
    }


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"
