"""Haystack's chat generator with a real expert."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

pytest.importorskip("haystack", reason="needs haystack-ai")

from haystack import Pipeline
from haystack.dataclasses import ChatMessage, ImageContent, StreamingChunk
from haystack.tools import create_tool_from_function

from hivellm_lite import Grammar
from hivellm_lite.integrations.haystack import HiveLLMChatGenerator

from .conftest import QUESTION, TABLES, cancelled

MESSAGES = [ChatMessage.from_system(TABLES), ChatMessage.from_user(QUESTION)]
DEMAND = {"tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 120}


def weather(city: Literal["Rome", "Oslo"]) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def collect(chunk: StreamingChunk) -> None:
    """A callback that a pipeline can write to a file."""


TOOL = create_tool_from_function(weather)


@pytest.fixture
def generator(sql):
    return HiveLLMChatGenerator(sql, generation_kwargs={"max_tokens": 60, "seed": 7})


def test_it_answers_as_the_library_does(generator, alone):
    (reply,) = generator.run(MESSAGES)["replies"]
    assert reply.text == alone
    assert reply.meta["finish_reason"] == "stop"
    assert reply.meta["model"] == "sql-smollm2@0.1.0"
    assert reply.meta["usage"]["completion_tokens"] > 0
    assert generator.run(QUESTION)["replies"][0].text.startswith("SELECT")


def test_it_tells_pieces_to_a_callback(generator, alone):
    chunks = []
    (reply,) = generator.run(MESSAGES, chunks.append)["replies"]
    assert len(chunks) > 3
    assert "".join(chunk.content for chunk in chunks) == alone == reply.text
    assert [chunk.start for chunk in chunks].count(True) == 1
    assert chunks[-1].finish_reason == "stop"


def test_coroutines_get_the_same(generator, alone):
    async def ask():
        chunks, more = [], []

        async def tell(chunk):
            chunks.append(chunk.content)

        await generator.run_async(MESSAGES, tell)
        await generator.run_async(MESSAGES, lambda chunk: more.append(chunk.content))
        whole = await generator.run_async(MESSAGES)
        return "".join(chunks), "".join(more), whole["replies"][0].text

    assert asyncio.run(ask()) == (alone, alone, alone)


def test_cancelling_the_task_stops_the_decoding(sql, generator):
    endless = {"grammar": Grammar.parse('root ::= "a"+'), "max_tokens": 10_000}

    async def cancel():
        begun = asyncio.Event()

        async def tell(chunk):
            begun.set()

        task = asyncio.create_task(generator.run_async("Go", tell, endless))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with cancelled(sql):
        asyncio.run(cancel())


def test_a_demanded_call_is_made_and_its_result_told(generator):
    (reply,) = generator.run(QUESTION, generation_kwargs=DEMAND, tools=[TOOL])["replies"]
    assert reply.meta["finish_reason"] == "tool_calls"
    assert reply.tool_calls
    said = TOOL.invoke(**reply.tool_calls[0].arguments)
    result = ChatMessage.from_tool(said, origin=reply.tool_calls[0])
    again = [ChatMessage.from_user(QUESTION), reply, result]
    assert generator.run(again)["replies"][0].text


def test_calls_are_streamed_with_the_ids_of_the_reply(generator):
    chunks = []
    (reply,) = generator.run(QUESTION, chunks.append, DEMAND, tools=[TOOL])["replies"]
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls or ()]
    assert [delta.id for delta in deltas if delta.id] == [one.id for one in reply.tool_calls]
    assert [delta.tool_name for delta in deltas if delta.tool_name] == ["weather"]
    assert "city" in "".join(delta.arguments or "" for delta in deltas)


def test_a_call_that_was_cut_off_is_an_error(generator):
    short = {"tool_choice": {"type": "function", "function": {"name": "weather"}}, "max_tokens": 16}
    with pytest.raises(ValueError, match="ended in a call of weather: length"):
        generator.run(QUESTION, generation_kwargs=short, tools=[TOOL])


def test_a_thought_is_told_apart(generator):
    thought = {"grammar": Grammar.parse('root ::= "<think>Hm.</think>yes"')}
    (reply,) = generator.run("Is it?", generation_kwargs=thought)["replies"]
    assert (reply.text, reply.reasoning.reasoning_text) == ("yes", "Hm.")
    again = [ChatMessage.from_user("Is it?"), reply, ChatMessage.from_user(QUESTION)]
    assert generator.run(again)["replies"][0].text


def test_what_no_expert_sees_is_an_error(generator):
    picture = ImageContent(base64_image="", mime_type="image/png", validation=False)
    with pytest.raises(ValueError, match=r"messages\[0\]\.content\[1\]"):
        generator.run([ChatMessage.from_user(content_parts=["What is it?", picture])])


def test_a_pipeline_is_written_and_read_again(sql, generator):
    pipeline = Pipeline()
    made = HiveLLMChatGenerator(
        "sql.expert", load_options={"n_ctx": 512}, streaming_callback=collect, tools=[TOOL]
    )
    pipeline.add_component("expert", made)
    text = pipeline.dumps()
    assert "type: hivellm_lite.integrations.haystack.HiveLLMChatGenerator" in text
    trusted = ["hivellm_lite.*", __name__]
    again = Pipeline.loads(text, allowed_modules=trusted).get_component("expert")
    assert again.to_dict() == made.to_dict()
    with pytest.raises(ValueError, match="give its path or name"):
        generator.to_dict()


def test_a_pipeline_answers(generator, alone):
    pipeline = Pipeline()
    pipeline.add_component("expert", generator)
    found = pipeline.run({"expert": {"messages": MESSAGES}})
    assert found["expert"]["replies"][0].text == alone
