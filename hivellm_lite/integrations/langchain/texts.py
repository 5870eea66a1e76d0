"""An expert as a ``BaseLLM``: a text is asked, a text is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from ...inference.results import InferenceResult
from .model import CONFIG, LangChainModel, metadata

__all__ = ["HiveLLM"]


class HiveLLM(LangChainModel, BaseLLM):
    """Answers each text as `Expert.generate` does: in the expert's prompt format.

    Several prompts are computed together. ``model_kwargs={"template": "raw"}`` completes texts.
    """

    model_config = CONFIG

    @property
    def _llm_type(self) -> str:
        return "hivellm-lite"

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        expert = self._expert.get()
        return _whole(expert.generate_batch(prompts, **self._options(stop, kwargs)))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        expert = await self._expert.aget()
        return _whole(await expert.agenerate_batch(prompts, **self._options(stop, kwargs)))

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        options = self._options(stop, kwargs)
        with self._expert.get().generate_stream(prompt, **options) as stream:
            for text in stream:
                chunk = GenerationChunk(text=text)
                if run_manager is not None:
                    run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
        yield GenerationChunk(text="", generation_info=_info(stream.result))

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        options = self._options(stop, kwargs)
        expert = await self._expert.aget()
        async with expert.agenerate_stream(prompt, **options) as stream:
            async for text in stream:
                chunk = GenerationChunk(text=text)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
        yield GenerationChunk(text="", generation_info=_info(stream.result))


def _info(result: InferenceResult | None) -> dict[str, Any]:
    assert result is not None  # the stream has ended  # noqa: S101
    thought = {"reasoning_content": result.thinking} if result.thinking else {}
    return {**metadata(result, result.finish_reason), **thought}


def _whole(results: Sequence[InferenceResult | Exception]) -> LLMResult:
    found = [one for one in results if isinstance(one, InferenceResult)]  # exceptions were raised
    usage = {
        "prompt_tokens": sum(one.prompt_tokens for one in found),
        "completion_tokens": sum(one.completion_tokens for one in found),
    }
    return LLMResult(
        generations=[[Generation(text=one.text, generation_info=_info(one))] for one in found],
        llm_output={"token_usage": {**usage, "total_tokens": sum(usage.values())}},
    )
