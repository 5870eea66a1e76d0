"""An expert as a ``BaseChatModel``: messages, tools, structured answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from ...expert import Expert
from ..conversations import Question, ask
from .answers import Chunks, message_of
from .model import CONFIG, LangChainModel

__all__ = ["ChatHiveLLM"]

_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


class ChatHiveLLM(LangChainModel, BaseChatModel):
    """Answers conversations; see `Settings` for the fields.

    Closing an ``astream`` or cancelling its task stops the decoding.
    """

    model_config = CONFIG

    streaming: bool = False
    """Whether ``invoke`` streams as well, for callbacks that want the pieces."""

    @property
    def _llm_type(self) -> str:
        return "hivellm-lite-chat"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools. A grammar makes every call one of a tool that is there, with arguments of
        its schema.

        ``tool_choice``: ``"auto"``, ``"none"``, ``"any"`` (or ``"required"``, True), or the name of
        a tool. ``strict``: a schema that a grammar cannot enforce is an error.
        """
        offered = [convert_to_openai_tool(one, strict=strict) for one in tools]
        if tool_choice in ("any", True):
            tool_choice = "required"
        elif isinstance(tool_choice, str) and tool_choice not in ("auto", "none", "required"):
            tool_choice = {"type": "function", "function": {"name": tool_choice}}
        chosen = {"tool_choice": tool_choice or None, "parallel_tool_calls": parallel_tool_calls}
        return self.bind(tools=offered, **chosen, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: str = "json_schema",
        include_raw: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """An answer as an object of ``schema``; a grammar enforces the schema.

        ``method``: ``"json_schema"``, ``"function_calling"``, or ``"json_mode"``, which is any JSON
        object. ``allow_unenforced=True`` accepts keywords that a grammar cannot enforce.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if method not in ("json_schema", "json_mode"):
            raise ValueError(
                f"method={method!r}: use 'json_schema', 'json_mode' or 'function_calling'"
            )
        kwargs.pop("strict", None)  # the grammar is always strict
        wanted = convert_to_json_schema(schema)
        kwargs["json_schema"] = wanted if method == "json_schema" else {"type": "object"}
        told = {"kwargs": {"method": method}, "schema": wanted}
        model = self.bind(ls_structured_output_format=told, **kwargs)
        parser = _parser(schema)
        if not include_raw:
            return model | parser
        whole = RunnablePassthrough.assign(
            parsed=(lambda found: found["raw"]) | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | whole.with_fallbacks(
            [failed], exception_key="parsing_error"
        )

    def _ask(
        self, expert: Expert, messages: list[BaseMessage], stop: Any, kwargs: dict[str, Any]
    ) -> Question:
        tools = {name: kwargs.pop(name, None) for name in _TOOL_FIELDS}
        said = convert_to_openai_messages(messages)
        return ask(expert, said, self._options(stop, kwargs), **tools)  # type: ignore[arg-type]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        expert = self._expert.get()
        question = self._ask(expert, messages, stop, kwargs)
        message = message_of(expert.generate(**question.options), question)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        expert = await self._expert.aget()
        question = self._ask(expert, messages, stop, kwargs)
        message = message_of(await expert.agenerate(**question.options), question)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        expert = self._expert.get()
        question = self._ask(expert, messages, stop, kwargs)
        chunks = Chunks(question)
        with expert.generate_stream(**question.options) as stream:
            for piece in stream:
                for chunk in chunks.push(piece):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        yield from chunks.finish(stream.result)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        expert = await self._expert.aget()
        question = self._ask(expert, messages, stop, kwargs)
        chunks = Chunks(question)
        async with expert.agenerate_stream(**question.options) as stream:
            async for piece in stream:
                for chunk in chunks.push(piece):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        for chunk in chunks.finish(stream.result):
            yield chunk


def _parser(schema: dict[str, Any] | type) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()
