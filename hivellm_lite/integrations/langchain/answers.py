"""Answers as LangChain's messages, whole or in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from ...inference.results import InferenceResult
from ...server.tools.reader import Arguments, Began, Said, Told
from ..conversations import Question, arguments, new_call_id, read
from .model import metadata

__all__ = ["Chunks", "message_of"]


def message_of(result: InferenceResult, question: Question) -> AIMessage:
    """The message of a whole answer. A call that was cut off is an invalid one."""
    answer = read(result, question)
    whole, broken = [], []
    for call in answer.calls:
        found = arguments(call)
        if found is not None:
            whole.append(tool_call(name=call.name, args=found, id=new_call_id()))
        else:
            error = f"the answer ended in its arguments: {result.finish_reason}"
            broken.append(
                invalid_tool_call(
                    name=call.name, args=call.arguments, id=new_call_id(), error=error
                )
            )
    return AIMessage(
        content=answer.text, tool_calls=whole, invalid_tool_calls=broken,
        **_about(result, answer.finish_reason),
    )  # fmt: skip


class Chunks:
    """Makes chunks of the pieces of one answer."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._reader = question.reader()

    def push(self, piece: str) -> Iterator[ChatGenerationChunk]:
        """The chunks of another piece."""
        return _chunks([Said(piece)] if self._reader is None else self._reader.push(piece))

    def finish(self, result: InferenceResult | None) -> Iterator[ChatGenerationChunk]:
        """What was held back, and the last chunk, which tells of the whole answer."""
        assert result is not None  # the stream has ended  # noqa: S101
        if self._reader is not None:
            yield from _chunks(self._reader.finish())
        about = _about(result, read(result, self._question).finish_reason)
        last = AIMessageChunk(content="", chunk_position="last", **about)
        yield ChatGenerationChunk(message=last)


def _chunks(told: Iterable[Told]) -> Iterator[ChatGenerationChunk]:
    for one in told:
        if isinstance(one, Said):
            yield ChatGenerationChunk(message=AIMessageChunk(content=one.text))
            continue
        if isinstance(one, Began):
            part = tool_call_chunk(name=one.name, args="", id=new_call_id(), index=one.index)
        else:
            assert isinstance(one, Arguments)  # noqa: S101 - there is no fourth
            part = tool_call_chunk(name=None, args=one.text, id=None, index=one.index)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))


def _about(result: InferenceResult, finish_reason: str) -> dict[str, Any]:
    """The fields of a message beside what it says."""
    usage = UsageMetadata(
        input_tokens=result.prompt_tokens,
        output_tokens=result.completion_tokens,
        total_tokens=result.prompt_tokens + result.completion_tokens,
        input_token_details={"cache_read": result.cached_prompt_tokens},
        output_token_details={"reasoning": result.thinking_tokens},
    )
    thought = {"reasoning_content": result.thinking} if result.thinking else {}
    return {
        "usage_metadata": usage,
        "response_metadata": metadata(result, finish_reason),
        "additional_kwargs": thought,
    }
