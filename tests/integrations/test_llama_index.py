"""LlamaIndex's model with a real expert."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Literal

import pytest

pytest.importorskip("llama_index.core", reason="needs llama-index-core")

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, ThinkingBlock
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError

from hivellm_lite import Grammar
from hivellm_lite.integrations.llama_index import HiveLLM

from .conftest import QUESTION, TABLES, cancelled

MESSAGES = [ChatMessage(TABLES, role=MessageRole.SYSTEM), ChatMessage(QUESTION)]
THOUGHT = Grammar.parse('root ::= "<think>Hm.</think>yes"')
ENDLESS = Grammar.parse('root ::= "a"+')


class Plan(BaseModel):
    """What a query reads."""

    table: Literal["users", "orders"]
    n_columns: Literal[1, 2, 3]


@pytest.fixture
def llm(sql):
    return HiveLLM(model=sql, max_tokens=60, seed=7, model_kwargs={})


class TestChat:
    def test_it_answers_as_the_library_does(self, llm, alone):
        answer = llm.chat(MESSAGES)
        assert answer.message.role == MessageRole.ASSISTANT
        assert answer.message.content == alone
        assert answer.raw["finish_reason"] == "stop"
        assert answer.raw["model"] == "sql-smollm2@0.1.0"
        assert answer.message.additional_kwargs["completion_tokens"] > 0

    def test_it_streams(self, llm, alone):
        pieces = list(llm.stream_chat(MESSAGES))
        assert len(pieces) > 3
        assert "".join(piece.delta for piece in pieces) == alone
        assert pieces[-1].message.content == alone
        assert pieces[-1].raw["finish_reason"] == "stop"

    def test_coroutines_get_the_same(self, llm, alone):
        async def ask():
            whole = await llm.achat(MESSAGES)
            pieces = [piece.delta async for piece in await llm.astream_chat(MESSAGES)]
            return whole.message.content, "".join(pieces)

        assert asyncio.run(ask()) == (alone, alone)

    def test_leaving_an_async_stream_stops_the_decoding(self, sql, llm):
        async def leave():
            go = [ChatMessage("Go")]
            found = await llm.astream_chat(go, grammar=ENDLESS, max_tokens=10_000)
            async with aclosing(found) as stream:
                async for _ in stream:
                    break
            await asyncio.sleep(0)

        with cancelled(sql):
            asyncio.run(leave())

    def test_a_developers_message_is_the_systems(self, llm, alone):
        messages = [ChatMessage(TABLES, role=MessageRole.DEVELOPER), ChatMessage(QUESTION)]
        assert llm.chat(messages).message.content == alone

    def test_a_thought_is_a_block_of_its_own(self, llm):
        answer = llm.chat([ChatMessage("Is it?")], grammar=THOUGHT).message
        assert answer.content == "yes"
        assert isinstance(answer.blocks[0], ThinkingBlock)
        assert llm.chat([ChatMessage("Is it?"), answer, ChatMessage(QUESTION)]).message.content

    def test_the_result_of_a_call_names_the_call(self, llm):
        function = {"name": "count", "arguments": "{}"}
        called = {"tool_calls": [{"id": "a", "type": "function", "function": function}]}
        messages = [
            *MESSAGES,
            ChatMessage("", role=MessageRole.ASSISTANT, additional_kwargs=called),
            ChatMessage("5", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "a"}),
        ]
        assert llm.chat(messages).message.content

    def test_what_no_expert_sees_is_an_error(self, llm):
        with pytest.raises(ValueError, match="reads texts, no ImageBlock"):
            llm.chat([ChatMessage(blocks=[ImageBlock(url="http://localhost/a.png")])])


class TestTexts:
    def test_it_answers_and_streams(self, llm, alone):
        assert llm.complete(QUESTION, system=TABLES).text == alone
        pieces = list(llm.stream_complete(QUESTION, system=TABLES))
        assert "".join(piece.delta for piece in pieces) == alone

    def test_coroutines_get_the_same(self, llm, alone):
        async def ask():
            whole = await llm.acomplete(QUESTION, system=TABLES)
            found = await llm.astream_complete(QUESTION, system=TABLES)
            return whole.text, "".join([piece.delta async for piece in found])

        assert asyncio.run(ask()) == (alone, alone)

    def test_predict_goes_through_the_chat(self, llm):
        assert llm.predict(PromptTemplate("{question}"), question=QUESTION).startswith("SELECT")


class TestStructuredAnswers:
    def test_it_is_an_object_of_the_class(self, llm):
        prompt = PromptTemplate("{question}")
        assert isinstance(llm.structured_predict(Plan, prompt, question=QUESTION), Plan)
        found = asyncio.run(llm.astructured_predict(Plan, prompt, question=QUESTION))
        assert isinstance(found, Plan)

    def test_a_structured_model_is_made_of_it(self, llm):
        assert isinstance(llm.as_structured_llm(Plan).complete(QUESTION).raw, Plan)


def test_the_metadata_is_that_of_the_expert(sql, llm):
    assert llm.metadata.context_window == sql.session.n_ctx
    assert llm.metadata.num_output == 60
    assert llm.metadata.is_chat_model


def test_names_that_are_no_option_are_errors(sql, llm):
    with pytest.raises(ValidationError, match="max_token"):
        HiveLLM(model=sql, max_token=5)
    with pytest.raises(TypeError, match="Did you mean 'temperature'"):
        llm.complete(QUESTION, temprature=1)
