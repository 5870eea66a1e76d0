"""Messages of Haystack in the form of OpenAI's API, and answers in Haystack's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from haystack.dataclasses import (
    ChatMessage,
    ChatRole,
    ComponentInfo,
    StreamingChunk,
    ToolCall,
    ToolCallDelta,
)

from ...inference.results import InferenceResult
from ...server.tools.reader import Began, Said, Told
from ..conversations import Question, arguments, new_call_id, read

__all__ = ["Reply", "openai_message"]


def openai_message(message: ChatMessage) -> dict[str, Any]:
    """With thoughts and all texts, which Haystack's own conversion leaves out."""
    found: dict[str, Any] = message.to_openai_dict_format(require_tool_call_ids=False)
    if message.is_from(ChatRole.ASSISTANT) or message.is_from(ChatRole.SYSTEM):
        found["content"] = "".join(message.texts)
    if message.reasonings:
        found["reasoning_content"] = "".join(one.reasoning_text for one in message.reasonings)
    return found


class Reply:
    """The reply to one question, in chunks and whole."""

    def __init__(self, question: Question, component: ComponentInfo) -> None:
        self._question = question
        self._component = component
        self._reader = question.reader()
        self._ids: list[str] = []
        self._begun = False

    def push(self, piece: str) -> Iterator[StreamingChunk]:
        """The chunks of another piece."""
        return self._chunks([Said(piece)] if self._reader is None else self._reader.push(piece))

    def finish(self, result: InferenceResult) -> Iterator[StreamingChunk]:
        """What was held back, and the chunk of the end."""
        if self._reader is not None:
            yield from self._chunks(self._reader.finish())
        told = _meta(result, read(result, self._question).finish_reason)
        reason = told["finish_reason"]
        usual = reason if reason in ("stop", "length", "tool_calls") else None
        yield StreamingChunk("", meta=told, component_info=self._component, finish_reason=usual)

    def whole(self, result: InferenceResult) -> ChatMessage:
        """The message. Raises ValueError for a call that was cut off, which has no arguments."""
        answer = read(result, self._question)
        self._ids += [new_call_id() for _ in answer.calls[len(self._ids) :]]
        calls = []
        for call, call_id in zip(answer.calls, self._ids, strict=True):
            found = arguments(call)
            if found is None:
                raise ValueError(
                    f"the answer ended in a call of {call.name}: {result.finish_reason}"
                )
            calls.append(ToolCall(call.name, found, call_id))
        return ChatMessage.from_assistant(
            answer.text,
            tool_calls=calls,
            reasoning=result.thinking or None,
            meta=_meta(result, answer.finish_reason),
        )

    def _chunks(self, told: Iterable[Told]) -> Iterator[StreamingChunk]:
        for one in told:
            if isinstance(one, Said):
                first, self._begun = not self._begun, True
                yield StreamingChunk(one.text, index=0, start=first, component_info=self._component)
                continue
            begins = isinstance(one, Began)
            if begins:
                self._ids.append(new_call_id())
            delta = ToolCallDelta(
                index=one.index,
                tool_name=one.name if isinstance(one, Began) else None,
                arguments=None if isinstance(one, Began) else one.text,
                id=self._ids[one.index] if begins else None,
            )
            yield StreamingChunk(
                "", tool_calls=[delta], index=one.index + 1, start=begins,
                component_info=self._component,
            )  # fmt: skip


def _meta(result: InferenceResult, finish_reason: str) -> dict[str, Any]:
    return {
        "model": result.expert,
        "finish_reason": finish_reason,
        "seed": result.seed,
        "usage": {
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "total_tokens": result.prompt_tokens + result.completion_tokens,
        },
    }
