"""Experts as models of ``llm``, blocking and for coroutines."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import llm
from llm.parts import StreamEvent

from ...expert import Expert
from ...inference.results import InferenceResult
from ...server.tools.reader import CallReader, Said
from ..conversations import Question, arguments, ask, new_call_id, read
from ..experts import LazyExpert
from .messages import openai_messages
from .options import ANY, ExpertOptions

__all__ = ["AsyncExpertModel", "ExpertModel", "opened"]


@functools.cache
def opened(model: str | Expert, options: frozenset[tuple[str, Any]]) -> LazyExpert:
    """The expert that all prompts with these options of loading share, until the process ends."""
    return LazyExpert(model, dict(options))


class _Model:
    """``model``: what `Expert.load` takes, or an expert; None leaves that to an option."""

    can_stream = True
    supports_schema = True
    supports_tools = True

    def __init__(self, model_id: str, model: str | Expert | None) -> None:
        self.model_id = model_id
        self._model = model

    def _expert(self, prompt: llm.Prompt) -> LazyExpert:
        options = _options(prompt)
        if (self._model is None) == (options.expert is None):
            raise ValueError(
                f"{self.model_id}: name an expert either with -m, or with -m {ANY} -o expert PATH"
            )
        model = self._model or options.expert
        assert model is not None  # one of them is given  # noqa: S101
        return opened(model, frozenset(options.loading().items()))

    def _question(self, expert: Expert, prompt: llm.Prompt) -> Question:
        options = _options(prompt).asking()
        if prompt.schema is not None:
            options["json_schema"] = prompt.schema
        functions = [
            {"name": one.name, "description": one.description, "parameters": one.input_schema}
            for one in prompt.tools
        ]
        tools = [{"type": "function", "function": one} for one in functions]
        return ask(expert, openai_messages(prompt.messages), options, tools=tools)

    def _finish(
        self, response: Any, result: InferenceResult | None, question: Question
    ) -> Iterator[StreamEvent]:
        """Tell ``response`` what the answer was and has cost; the thought is an event."""
        assert result is not None  # the stream has ended  # noqa: S101
        answer = read(result, question)
        for call in answer.calls:
            found = arguments(call)
            if found is None:
                reason = result.finish_reason
                raise llm.ModelError(f"the answer ended in a call of {call.name}: {reason}")
            response.add_tool_call(llm.ToolCall(call.name, found, new_call_id()))
        response.set_resolved_model(result.expert)
        cached = {"cached_tokens": result.cached_prompt_tokens}
        response.set_usage(
            input=result.prompt_tokens, output=result.completion_tokens, details=cached
        )
        response.response_json = {"finish_reason": answer.finish_reason, "seed": result.seed}
        if result.thinking:
            yield StreamEvent(type="reasoning", chunk=result.thinking)


class ExpertModel(_Model, llm.Model):
    """An expert for ``llm``."""

    Options = ExpertOptions  # type: ignore[assignment]  # as llm has it

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: Any,
        conversation: Any,
    ) -> Iterator[str | StreamEvent]:
        """Answer; ``response`` joins the pieces where nobody streams."""
        expert = self._expert(prompt).get()
        question = self._question(expert, prompt)
        reader = question.reader()
        with expert.generate_stream(**question.options) as pieces:
            for piece in pieces:
                yield from _texts(reader, piece)
        yield from _rest(reader)
        yield from self._finish(response, pieces.result, question)


class AsyncExpertModel(_Model, llm.AsyncModel):
    """An expert for coroutines; cancelling the task stops the decoding."""

    Options = ExpertOptions  # type: ignore[assignment]  # as llm has it

    async def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: Any,
        conversation: Any,
    ) -> AsyncGenerator[str | StreamEvent, None]:
        """Answer; ``response`` joins the pieces where nobody streams."""
        expert = await self._expert(prompt).aget()
        question = self._question(expert, prompt)
        reader = question.reader()
        async with expert.agenerate_stream(**question.options) as pieces:
            async for piece in pieces:
                for text in _texts(reader, piece):
                    yield text
        for text in _rest(reader):
            yield text
        for event in self._finish(response, pieces.result, question):
            yield event


def _options(prompt: llm.Prompt) -> ExpertOptions:
    assert isinstance(prompt.options, ExpertOptions)  # of the model's own class  # noqa: S101
    return prompt.options


def _texts(reader: CallReader | None, piece: str) -> list[str]:
    """The text of a piece that belongs to no call."""
    return [piece] if reader is None else _said(reader.push(piece))


def _rest(reader: CallReader | None) -> list[str]:
    return [] if reader is None else _said(reader.finish())


def _said(told: Iterator[Any]) -> list[str]:
    return [one.text for one in told if isinstance(one, Said)]
