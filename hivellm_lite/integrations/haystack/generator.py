"""The chat generator of Haystack."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import ChatMessage, ComponentInfo
from haystack.dataclasses.streaming_chunk import StreamingCallbackT, select_streaming_callback
from haystack.tools import (
    ToolsType,
    deserialize_tools_or_toolset_inplace,
    flatten_tools_or_toolsets,
    serialize_tools_or_toolset,
)
from haystack.utils import deserialize_callable, serialize_callable

from ...expert import Expert
from ..conversations import Question, ask
from ..experts import LazyExpert
from .messages import Reply, openai_message

__all__ = ["HiveLLMChatGenerator"]


@component
class HiveLLMChatGenerator:
    """Answers messages; ``streaming_callback`` gets texts and calls piece by piece."""

    __module__ = __package__  # the name that files of pipelines have

    def __init__(
        self,
        model: str | Path | Expert,
        *,
        load_options: dict[str, Any] | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        streaming_callback: StreamingCallbackT | None = None,
        tools: ToolsType | None = None,
    ) -> None:
        """``model`` is a path or name, as `Expert.load` takes it with ``load_options``, or an
        expert. ``generation_kwargs`` are options of `Expert.generate`, and ``tool_choice`` and
        ``parallel_tool_calls`` as OpenAI's API has them.
        """
        self.model = model
        self.load_options = load_options or {}
        self.generation_kwargs = generation_kwargs or {}
        self.streaming_callback = streaming_callback
        self.tools = tools
        self._expert = LazyExpert(model, self.load_options)

    def warm_up(self) -> None:
        """Load the expert."""
        self._expert.get()

    def close(self) -> None:
        """Free the expert, if it was loaded here."""
        self._expert.close()

    def to_dict(self) -> dict[str, Any]:
        """What a pipeline writes to a file. Raises ValueError for an expert that you loaded."""
        if isinstance(self.model, Expert):
            raise ValueError("a loaded expert cannot be written to a file: give its path or name")
        callback = self.streaming_callback
        return default_to_dict(
            self,
            model=str(self.model),
            load_options=self.load_options,
            generation_kwargs=self.generation_kwargs,
            streaming_callback=serialize_callable(callback) if callback is not None else None,
            tools=serialize_tools_or_toolset(self.tools),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HiveLLMChatGenerator:
        """The component that `to_dict` wrote."""
        given = data["init_parameters"]
        deserialize_tools_or_toolset_inplace(given, key="tools")
        if given.get("streaming_callback") is not None:
            given["streaming_callback"] = deserialize_callable(given["streaming_callback"])
        return default_from_dict(cls, data)

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """One reply. Raises ValueError for messages that no expert reads, such as pictures."""
        expert = self._expert.get()
        question = self._question(expert, messages, generation_kwargs, tools)
        tell = select_streaming_callback(self.streaming_callback, streaming_callback, False)
        reply = Reply(question, ComponentInfo.from_component(self))
        if tell is None:
            return {"replies": [reply.whole(expert.generate(**question.options))]}
        with expert.generate_stream(**question.options) as stream:
            for piece in stream:
                for chunk in reply.push(piece):
                    tell(chunk)
        assert stream.result is not None  # the stream has ended  # noqa: S101
        for chunk in reply.finish(stream.result):
            tell(chunk)
        return {"replies": [reply.whole(stream.result)]}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """`run` as a coroutine; cancelling the task stops the decoding."""
        expert = await self._expert.aget()
        question = self._question(expert, messages, generation_kwargs, tools)
        tell = select_streaming_callback(self.streaming_callback, streaming_callback, True)
        reply = Reply(question, ComponentInfo.from_component(self))
        if tell is None:
            return {"replies": [reply.whole(await expert.agenerate(**question.options))]}
        async with expert.agenerate_stream(**question.options) as stream:
            async for piece in stream:
                for chunk in reply.push(piece):
                    await _told(tell(chunk))
        assert stream.result is not None  # the stream has ended  # noqa: S101
        for chunk in reply.finish(stream.result):
            await _told(tell(chunk))
        return {"replies": [reply.whole(stream.result)]}

    def _question(
        self,
        expert: Expert,
        messages: list[ChatMessage] | str,
        generation_kwargs: dict[str, Any] | None,
        tools: ToolsType | None,
    ) -> Question:
        asked = [ChatMessage.from_user(messages)] if isinstance(messages, str) else messages
        options = {**self.generation_kwargs, **(generation_kwargs or {})}
        chosen = {name: options.pop(name, None) for name in ("tool_choice", "parallel_tool_calls")}
        offered = flatten_tools_or_toolsets(self.tools if tools is None else tools)
        functions = [{"type": "function", "function": dict(one.tool_spec)} for one in offered]
        return ask(expert, map(openai_message, asked), options, tools=functions, **chosen)


async def _told(answer: Any) -> None:
    """A callback may be a coroutine."""
    if inspect.isawaitable(answer):
        await answer
