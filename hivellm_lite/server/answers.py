"""The answers to one request, as events: several streams of the library merged into one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ..inference.results import AnswerToken, InferenceResult
from ..manager import ExpertManager
from ..requests.options import BatchPrompt
from ..residency.choice import ExpertName
from .errors import APIError, api_error
from .logprobs import TokenPieces
from .observing import Observation

__all__ = ["Ended", "Event", "Text", "Thought", "answer_events"]


@dataclass(frozen=True)
class Text:
    """A piece of the answer ``index``."""

    index: int
    text: str
    tokens: tuple[AnswerToken, ...] = ()
    """The tokens that end in it, if probabilities were asked for."""


@dataclass(frozen=True)
class Thought:
    """The thought before the answer ``index``, whole."""

    index: int
    text: str


@dataclass(frozen=True)
class Ended:
    """The answer ``index`` is complete: its ``finish_reason`` is ``stop`` or ``length``."""

    index: int
    result: InferenceResult
    tokens: tuple[AnswerToken, ...] = ()
    """Those that no `Text` had."""


Event = Text | Thought | Ended


def answer_events(
    manager: ExpertManager,
    name: ExpertName,
    asks: Sequence[BatchPrompt],
    observation: Observation,
    *,
    in_pieces: bool,
) -> AsyncGenerator[Event, None]:
    """The events of the answers to all ``asks``, which are computed together.

    Each answer has one `Ended`, and before that, if ``in_pieces``, its pieces in order. Raises
    APIError for the first answer that fails. Closing the generator stops the decoding of all.
    """
    one = _pieces if in_pieces else _whole
    sources = [one(manager, name, index, ask, observation) for index, ask in enumerate(asks)]
    return sources[0] if len(sources) == 1 else _merged(sources)


async def _whole(
    manager: ExpertManager,
    name: ExpertName,
    index: int,
    ask: BatchPrompt,
    observation: Observation,
) -> AsyncGenerator[Event, None]:
    """The end of one answer."""
    stream = manager.agenerate_stream(name, **ask)
    try:
        result = await stream.run()
        _check_whole(result)
    except Exception as error:
        raise api_error(error, begun=stream.progress is not None) from error
    finally:
        await stream.aclose()
    if index == 0:
        n_later, speed = result.completion_tokens - 1, result.tokens_per_second
        observation.first_token(result, ago=n_later / speed if speed else 0.0)
    observation.token(result.completion_tokens)
    yield Ended(index, result)


async def _pieces(
    manager: ExpertManager,
    name: ExpertName,
    index: int,
    ask: BatchPrompt,
    observation: Observation,
) -> AsyncGenerator[Event, None]:
    stream = manager.agenerate_stream(name, **ask)
    is_first = True
    pieces = TokenPieces() if ask.get("logprobs") is not None else None
    try:
        async for text in stream:
            if is_first:
                is_first = False
                so_far = stream.progress
                assert so_far is not None  # it gave a piece  # noqa: S101
                if index == 0:
                    observation.first_token(so_far)
                if so_far.thinking:
                    yield Thought(index, so_far.thinking)
            observation.token(1)
            if pieces is None:
                yield Text(index, text)
            elif (so_far := stream.progress) is not None:
                yield Text(index, text, pieces.take(so_far.logprobs, text))
        result = stream.result
        assert result is not None  # it has ended  # noqa: S101
        _check_whole(result)
        if is_first:
            if index == 0:
                observation.first_token(result)
            if result.thinking:
                yield Thought(index, result.thinking)
        yield Ended(index, result, () if pieces is None else pieces.take(result.logprobs, None))
    except Exception as error:
        raise api_error(error, begun=stream.progress is not None) from error
    finally:
        await stream.aclose()


def _check_whole(result: InferenceResult) -> None:
    if result.finish_reason not in ("stop", "length"):
        message = "The expert was unloaded while it answered. Ask again."
        raise APIError(503, message, code="expert_unloaded", headers={"Retry-After": "1"})


async def _merged(sources: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    """The events of all sources as they come; a slow reader holds all of them up."""
    came: asyncio.Queue[Event | Exception | None] = asyncio.Queue(maxsize=len(sources))

    async def pump(source: AsyncGenerator[Event, None]) -> None:
        async with aclosing(source):
            try:
                async for event in source:
                    await came.put(event)
                await came.put(None)
            except Exception as error:
                await came.put(error)

    tasks = [asyncio.create_task(pump(source)) for source in sources]
    n_left = len(tasks)
    try:
        while n_left:
            item = await came.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                n_left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
