"""LangChain's models beyond its standard tests: what experts have, and what they refuse."""

from __future__ import annotations

import asyncio
import functools
import operator
from contextlib import aclosing
from typing import Literal

import pytest

pytest.importorskip("langchain_core", reason="needs langchain-core")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ValidationError

from hivellm_lite import Grammar
from hivellm_lite.integrations.langchain import ChatHiveLLM, HiveLLM

from .conftest import QUESTION, TABLES, cancelled

MESSAGES = [SystemMessage(TABLES), HumanMessage(QUESTION)]
THOUGHT = Grammar.parse('root ::= "<think>Hm.</think>yes"')
ENDLESS = Grammar.parse('root ::= "a"+')


class Plan(BaseModel):
    """What a query reads."""

    table: Literal["users", "orders"]
    n_columns: Literal[1, 2, 3]


@pytest.fixture
def chat(sql):
    return ChatHiveLLM(model=sql, temperature=0, max_tokens=150, seed=7)


@pytest.fixture
def texts(sql):
    return HiveLLM(model=sql, max_tokens=60, seed=7, model_kwargs={"system": TABLES})


def gathered(pieces):
    """The message of a stream."""
    return functools.reduce(operator.add, pieces)


def told(calls):
    """What calls say, without their ids."""
    return [(call["name"], call["args"]) for call in calls]


class TestChat:
    def test_it_answers_as_the_library_does(self, chat, alone):
        answer = chat.invoke(MESSAGES)
        assert answer.content == alone
        metadata = answer.response_metadata
        assert metadata == {"model_name": "sql-smollm2@0.1.0", "finish_reason": "stop", "seed": 7}
        assert answer.usage_metadata["output_tokens"] > 0
        assert answer.usage_metadata["input_token_details"]["cache_read"] >= 0

    def test_a_question_alone_gets_the_system_message_of_the_training(self, sql, chat):
        assert chat.invoke(QUESTION).content == sql.generate(QUESTION).text

    def test_options_come_from_the_fields_and_the_call_wins(self, sql, alone):
        chat = ChatHiveLLM(model=sql, model_kwargs={"schema": TABLES}, max_tokens=2)
        assert chat.invoke(QUESTION).response_metadata["finish_reason"] == "length"
        whole = chat.invoke(QUESTION, max_tokens=60, stop=["COUNT"])
        assert whole.content == "SELECT "
        assert whole.response_metadata["stop_sequence"] == "COUNT"

    def test_it_streams_the_same_answer_in_pieces(self, chat, alone):
        pieces = list(chat.stream(MESSAGES))
        assert len(pieces) > 3
        whole = gathered(pieces)
        assert whole.content == alone
        assert whole.response_metadata["finish_reason"] == "stop"
        assert whole.usage_metadata["output_tokens"] > 0

    def test_it_streams_the_same_answer_to_coroutines(self, chat, alone):
        async def collect():
            return [piece async for piece in chat.astream(MESSAGES)]

        assert gathered(asyncio.run(collect())).content == alone

    def test_invoke_streams_where_that_is_wanted(self, sql, alone):
        told = []

        class Pieces(BaseCallbackHandler):
            def on_llm_new_token(self, token, **_):
                told.append(token)

        chat = ChatHiveLLM(model=sql, streaming=True, callbacks=[Pieces()])
        assert chat.invoke(MESSAGES).content == alone == "".join(told)
        assert len(told) > 3

    def test_several_conversations_are_answered_together(self, chat, alone):
        assert [one.content for one in chat.batch([MESSAGES] * 3)] == [alone] * 3

    def test_leaving_an_async_stream_stops_the_decoding(self, sql, chat):
        async def leave():
            async with aclosing(chat.astream("Go", grammar=ENDLESS, max_tokens=10_000)) as stream:
                async for _ in stream:
                    break
            await asyncio.sleep(0)  # for the finalizer of LangChain's inner generator

        with cancelled(sql):
            asyncio.run(leave())

    def test_cancelling_the_task_stops_the_decoding(self, sql, chat):
        async def cancel():
            begun = asyncio.Event()

            async def read():
                async for _ in chat.astream("Go", grammar=ENDLESS, max_tokens=10_000):
                    begun.set()

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with cancelled(sql):
            asyncio.run(cancel())

    def test_a_thought_is_no_part_of_the_answer(self, chat):
        for answer in (
            chat.invoke("Is it?", grammar=THOUGHT),
            gathered(chat.stream("Is it?", grammar=THOUGHT)),
        ):
            assert answer.content == "yes"
            assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
            assert chat.invoke([HumanMessage("Is it?"), answer, HumanMessage(QUESTION)]).content

    def test_probabilities_are_metadata(self, chat):
        found = chat.invoke(MESSAGES, logprobs=1).response_metadata["logprobs"]["content"]
        assert "".join(one["token"] for one in found).startswith("SELECT")

    def test_messages_count_as_the_experts_tokens(self, sql, chat):
        assert chat.get_num_tokens("SELECT") == len(sql.tokenize_prompt("SELECT", template="raw"))

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ({"type": "image_url", "image_url": {"url": "data:,"}}, r"messages\[0\]\.content\[0\]"),
            ({"type": "audio", "base64": "", "mime_type": "audio/wav"}, "audio"),
        ],
    )
    def test_what_no_expert_sees_is_an_error(self, chat, message, expected):
        with pytest.raises(ValueError, match=expected):
            chat.invoke([HumanMessage([message])])

    def test_a_system_message_beside_a_schema_is_an_error(self, chat):
        with pytest.raises(ValueError, match="the messages have a system message"):
            chat.invoke(MESSAGES, schema=TABLES)

    def test_names_that_are_no_option_are_errors(self, sql, chat):
        with pytest.raises(ValidationError, match="max_token"):
            ChatHiveLLM(model=sql, max_token=5)
        with pytest.raises(TypeError, match="Did you mean 'temperature'"):
            chat.invoke(QUESTION, temprature=1)

    def test_options_of_loading_need_something_to_load(self, sql):
        with pytest.raises(ValueError, match=r"options of loading .*: base"):
            ChatHiveLLM(model=sql, load_options={"base": "x.gguf"})


class TestTools:
    @pytest.mark.parametrize("choice", ["any", "required", True, "Plan"])
    def test_a_demanded_call_is_valid(self, chat, choice):
        answer = chat.bind_tools([Plan], tool_choice=choice).invoke(MESSAGES)
        assert answer.content == ""
        assert answer.invalid_tool_calls == []
        assert answer.response_metadata["finish_reason"] == "tool_calls"
        for call in answer.tool_calls:
            assert Plan.model_validate(call["args"])

    def test_calls_are_streamed_too(self, chat):
        asked = chat.bind_tools([Plan], tool_choice="any")
        streamed = gathered(asked.stream(MESSAGES))
        assert told(streamed.tool_calls) == told(asked.invoke(MESSAGES).tool_calls)
        assert streamed.response_metadata["finish_reason"] == "tool_calls"

    def test_no_call_is_made_where_none_is_allowed(self, chat, alone):
        assert chat.bind_tools([Plan], tool_choice="none").invoke(MESSAGES).content == alone

    def test_a_call_that_was_cut_off_is_an_invalid_one(self, chat):
        asked = chat.bind_tools([Plan], tool_choice="Plan")
        answer = asked.invoke(MESSAGES, max_tokens=16)
        assert answer.tool_calls == []
        assert [call["name"] for call in answer.invalid_tool_calls] == ["Plan"]
        assert answer.response_metadata["finish_reason"] == "length"
        streamed = gathered(asked.stream(MESSAGES, max_tokens=16))
        assert streamed.response_metadata["finish_reason"] == "length"

    def test_results_of_calls_are_told(self, chat):
        asked = chat.bind_tools([Plan], tool_choice="Plan")
        answer = asked.invoke(MESSAGES)
        result = ToolMessage("5 users", tool_call_id=answer.tool_calls[0]["id"])
        assert chat.bind_tools([Plan]).invoke([*MESSAGES, answer, result]).content

    def test_a_tool_that_is_not_there_is_an_error(self, chat):
        with pytest.raises(ValueError, match="there is no tool 'Play'"):
            chat.bind_tools([Plan], tool_choice="Play").invoke(MESSAGES)


class TestStructuredOutput:
    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_it_is_an_object_of_the_schema(self, chat, method):
        plan = chat.with_structured_output(Plan, method=method).invoke(MESSAGES)
        assert isinstance(plan, Plan)

    def test_the_message_can_be_had_beside_it(self, chat):
        found = chat.with_structured_output(Plan, include_raw=True).invoke(MESSAGES)
        assert isinstance(found["raw"], AIMessage)
        assert isinstance(found["parsed"], Plan)
        assert found["parsing_error"] is None
        short = chat.with_structured_output(Plan, include_raw=True, max_tokens=3).invoke(MESSAGES)
        assert short["parsed"] is None
        assert short["parsing_error"] is not None

    def test_json_mode_is_an_object(self, chat):
        asked = chat.with_structured_output({"title": "Any", "type": "object"}, method="json_mode")
        assert isinstance(asked.invoke(MESSAGES, max_tokens=200), dict)

    def test_another_method_is_an_error(self, chat):
        with pytest.raises(ValueError, match="method='yaml': use 'json_schema'"):
            chat.with_structured_output(Plan, method="yaml")


class TestTexts:
    def test_texts_are_answered_together(self, texts, alone):
        found = texts.generate([QUESTION, QUESTION])
        assert [one[0].text for one in found.generations] == [alone] * 2
        info = found.generations[0][0].generation_info
        assert info == {"model_name": "sql-smollm2@0.1.0", "finish_reason": "stop", "seed": 7}
        assert found.llm_output["token_usage"]["completion_tokens"] > 0

    def test_coroutines_get_the_same(self, texts, alone):
        async def ask():
            pieces = [piece async for piece in texts.astream(QUESTION)]
            return await texts.ainvoke(QUESTION), "".join(pieces)

        assert asyncio.run(ask()) == (alone, alone)

    def test_it_streams(self, texts, alone):
        pieces = list(texts.stream(QUESTION))
        assert len(pieces) > 3
        assert "".join(pieces) == alone

    def test_callbacks_are_told_the_pieces(self, texts, alone):
        told = []

        class Pieces(BaseCallbackHandler):
            def on_llm_new_token(self, token, **_):
                told.append(token)

        async def read():
            return [piece async for piece in texts.astream(QUESTION, {"callbacks": [Pieces()]})]

        list(texts.stream(QUESTION, {"callbacks": [Pieces()]}))
        assert "".join(told) == alone
        asyncio.run(read())
        assert "".join(told) == alone * 2

    def test_a_text_can_be_completed(self, sql, texts):
        options = {"template": "raw", "system": None, "max_tokens": 5}
        same = sql.generate("SELECT name", template="raw", max_tokens=5).text
        assert texts.invoke("SELECT name", **options) == same

    def test_leaving_an_async_stream_stops_the_decoding(self, sql, texts):
        async def leave():
            async with aclosing(texts.astream("Go", grammar=ENDLESS, max_tokens=10_000)) as stream:
                async for _ in stream:
                    break
            await asyncio.sleep(0)

        with cancelled(sql):
            asyncio.run(leave())

    def test_models_differ_by_all_that_answers_depend_on(self, sql):
        one, other = HiveLLM(model=sql, seed=1), HiveLLM(model=sql, seed=2)
        assert one._identifying_params != other._identifying_params
