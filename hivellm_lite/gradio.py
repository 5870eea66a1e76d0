"""A page in the browser that chats with an expert, made with Gradio.

::

    import hivellm_lite.gradio

    hivellm_lite.gradio.launch("sql.expert")

Needs the extra ``gradio``: ``pip install 'hivellm-lite[gradio]'``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from .errors import ExpertError
from .expert import Expert
from .integrations.conversations import ask
from .integrations.missing import missing

try:
    import gradio as gr
except ModuleNotFoundError as error:
    raise missing(error, "gradio") from None

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .loading.options import LoadOptions
    from .requests.options import GenerationOptions

__all__ = ["launch", "page"]

_History = Sequence[Mapping[str, Any]]

AT_ONCE = 16
"""Answers that one page computes at once, as many as an expert does by default."""


def launch(
    model: str | os.PathLike[str],
    *,
    generation: GenerationOptions | None = None,
    server: Mapping[str, object] | None = None,
    **options: Unpack[LoadOptions],
) -> None:
    """Load an expert and serve its page until Ctrl-C.

    ``model`` and ``options`` are those of `Expert.load`; ``generation`` are options of each answer.
    ``server`` are arguments of Gradio's ``launch``, such as ``server_port``. The page is for this
    machine alone unless they say otherwise.

    Raises LoadError or one of its kinds, as `Expert.load` does.
    """
    with Expert.load(model, **options) as expert:
        page(expert, generation=generation).launch(**(server or {}))


def page(expert: Expert, *, generation: GenerationOptions | None = None) -> gr.ChatInterface:
    """The page of an expert that you loaded, to launch, to mount or to put beside others.

    Its text field ``schema`` begins with that of ``generation``.
    """
    chosen: dict[str, object] = dict(generation or {})
    schema = gr.Textbox(
        cast("str | None", chosen.pop("schema", None)),
        show_label=False,
        info="Tables, fields or labels that the answer shall use",
        lines=3,
    )

    async def answer(message: str, history: _History, schema: str) -> AsyncIterator[object]:
        async with aclosing(_respond(expert, chosen, message, history, schema)) as shown:
            async for one in shown:
                yield one

    return gr.ChatInterface(
        answer,
        additional_inputs=[schema],
        additional_inputs_accordion=gr.Accordion("Schema", open=True, render=False),
        title=f"{expert.name} {expert.version}",
        description=expert.manifest.description,
        api_name="chat",
        concurrency_limit=AT_ONCE,
        analytics_enabled=False,
    )


async def _respond(
    expert: Expert, generation: Mapping[str, object], message: str, history: _History, schema: str
) -> AsyncGenerator[object, None]:
    """The text so far, and at the end the thought too; closing it stops the decoding.

    Raises gradio.Error, which the page shows.
    """
    options = {**generation, **({"schema": schema} if schema.strip() else {})}
    text = ""
    try:
        question = ask(expert, [*_messages(history), {"role": "user", "content": message}], options)
        async with expert.agenerate_stream(**question.options) as stream:
            async for piece in stream:
                text += piece
                yield text
    except (ExpertError, ValueError, TypeError) as error:
        raise gr.Error(str(error)) from error
    assert stream.result is not None  # the stream has ended  # noqa: S101
    if stream.result.thinking:
        thought = {"role": "assistant", "content": stream.result.thinking}
        yield [{**thought, "metadata": {"title": "Thought"}}, text]


def _messages(history: _History) -> list[dict[str, object]]:
    """The messages of Gradio without thoughts, and without what only the page needs."""
    return [
        {"role": one["role"], "content": one["content"]}
        for one in history
        if not (one.get("metadata") or {}).get("title")
    ]
