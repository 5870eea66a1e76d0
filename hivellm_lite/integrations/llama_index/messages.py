"""Messages of LlamaIndex in the form of OpenAI's API, and answers in LlamaIndex's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from llama_index.core.base.llms.generic_utils import completion_response_to_chat_response
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from ...expert import Expert
from ...inference.results import InferenceResult

__all__ = ["apieces", "as_chat", "completion", "openai_message", "pieces"]

_ASSISTANT = (MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL)


def openai_message(message: ChatMessage) -> dict[str, object]:
    """Raises ValueError for a block that no expert reads, such as a picture."""
    odd = [one for one in message.blocks if not isinstance(one, TextBlock | ThinkingBlock)]
    if odd:
        raise ValueError(f"an expert reads texts, no {type(odd[0]).__name__}")
    role = "assistant" if message.role in _ASSISTANT else message.role.value
    thoughts = [one.content or "" for one in message.blocks if isinstance(one, ThinkingBlock)]
    found: dict[str, object] = {"role": role, "content": message.content or ""}
    if thoughts:
        found["reasoning_content"] = "".join(thoughts)
    for name in ("tool_calls", "tool_call_id", "name"):
        if name in message.additional_kwargs:
            found[name] = message.additional_kwargs[name]
    return found


def completion(result: InferenceResult, delta: str | None = None) -> CompletionResponse:
    """A whole answer; ``delta`` is the last piece of one that was streamed."""
    return CompletionResponse(
        text=result.text,
        delta=delta,
        additional_kwargs={
            "prompt_tokens": result.prompt_tokens,
            "completion_tokens": result.completion_tokens,
            "total_tokens": result.prompt_tokens + result.completion_tokens,
        },
        raw={
            "model": result.expert,
            "finish_reason": result.finish_reason,
            "seed": result.seed,
            "thinking": result.thinking,
            "cached_prompt_tokens": result.cached_prompt_tokens,
        },
    )


def as_chat(answer: CompletionResponse) -> ChatResponse:
    """The same answer as a message; a thought is a block before the text."""
    found = completion_response_to_chat_response(answer)
    found.delta = answer.delta
    thought = (answer.raw or {}).get("thinking")
    if thought:
        found.message.blocks.insert(0, ThinkingBlock(content=thought))
    return found


def pieces(
    expert: Expert, prompt: str | None, options: Mapping[str, Any]
) -> Generator[CompletionResponse, None, None]:
    """The text so far with each piece, and the whole answer at the end."""
    text = ""
    with expert.generate_stream(prompt, **options) as stream:
        for piece in stream:
            text += piece
            yield CompletionResponse(text=text, delta=piece)
    assert stream.result is not None  # the stream has ended  # noqa: S101
    yield completion(stream.result, delta="")


async def apieces(
    expert: Expert, prompt: str | None, options: Mapping[str, Any]
) -> AsyncGenerator[CompletionResponse, None]:
    """`pieces` for ``async for``."""
    text = ""
    async with expert.agenerate_stream(prompt, **options) as stream:
        async for piece in stream:
            text += piece
            yield CompletionResponse(text=text, delta=piece)
    assert stream.result is not None  # the stream has ended  # noqa: S101
    yield completion(stream.result, delta="")
