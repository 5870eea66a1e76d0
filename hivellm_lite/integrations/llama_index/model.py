"""The model of LlamaIndex."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.prompts import BasePromptTemplate
from pydantic import BaseModel

from ...expert import Expert
from ...requests.options import GenerationOptions
from ..conversations import ask
from ..settings import CONFIG, Settings
from .messages import apieces, as_chat, completion, openai_message, pieces

__all__ = ["HiveLLM"]

_T = TypeVar("_T", bound=BaseModel)


class HiveLLM(Settings, CustomLLM):
    """Chats with messages as they are, and completes texts in the expert's prompt format."""

    model_config = CONFIG

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in LlamaIndex's records."""
        return "HiveLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans prompts with; loads the expert, whose context has a size."""
        n_ctx = self._expert.get().session.n_ctx
        return LLMMetadata(
            context_window=n_ctx,
            num_output=min(self.max_tokens or 512, n_ctx),
            is_chat_model=True,
            model_name=self._expert.name,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation. Raises ValueError for blocks that are no text."""
        expert = self._expert.get()
        question = self._question(expert, messages, kwargs)
        return as_chat(completion(expert.generate(**question)))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """`chat` as a coroutine."""
        expert = await self._expert.aget()
        question = self._question(expert, messages, kwargs)
        return as_chat(completion(await expert.agenerate(**question)))

    @llm_chat_callback()
    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        """`chat` piece by piece; ``delta`` has what is new."""
        expert = self._expert.get()
        question = self._question(expert, messages, kwargs)
        return (as_chat(one) for one in pieces(expert, None, question))

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        """`stream_chat` for ``async for``; closing it stops the decoding."""
        expert = await self._expert.aget()
        question = self._question(expert, messages, kwargs)

        async def said() -> AsyncGenerator[ChatResponse, None]:
            async with aclosing(apieces(expert, None, question)) as found:
                async for one in found:
                    yield as_chat(one)

        return said()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a text; ``template="raw"`` completes it instead."""
        return completion(self._expert.get().generate(prompt, **self._options(None, kwargs)))

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """`complete` as a coroutine."""
        expert = await self._expert.aget()
        return completion(await expert.agenerate(prompt, **self._options(None, kwargs)))

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        """`complete` piece by piece; ``delta`` has what is new."""
        return pieces(self._expert.get(), prompt, self._options(None, kwargs))

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        """`stream_complete` for ``async for``; closing it stops the decoding."""
        return apieces(await self._expert.aget(), prompt, self._options(None, kwargs))

    def structured_predict(
        self,
        output_cls: type[_T],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _T:
        """An answer as an object of ``output_cls``, whose JSON schema a grammar enforces."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        answer = self.chat(messages, **{**(llm_kwargs or {}), "json_schema": output_cls})
        return output_cls.model_validate_json(answer.message.content or "")

    async def astructured_predict(
        self,
        output_cls: type[_T],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> _T:
        """`structured_predict` as a coroutine."""
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        answer = await self.achat(messages, **{**(llm_kwargs or {}), "json_schema": output_cls})
        return output_cls.model_validate_json(answer.message.content or "")

    def _question(
        self, expert: Expert, messages: Sequence[ChatMessage], given: dict[str, Any]
    ) -> GenerationOptions:
        said = [openai_message(one) for one in messages]
        return ask(expert, said, self._options(None, given)).options
