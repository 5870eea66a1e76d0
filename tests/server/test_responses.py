"""Responses: input items, answers whole and as events, tools and formats."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hivellm_lite.inference.results import AnswerToken
from hivellm_lite.server.answers import Ended, Text, Thought
from hivellm_lite.server.errors import APIError
from hivellm_lite.server.logprobs import TokenPieces
from hivellm_lite.server.responses.form import ResponseForm

from .test_chat import CHAT, SCHEMA
from .test_chat import SHORT as SHORT_CHAT
from .test_tools import CITY

PATH = "/v1/responses"
SHORT = {"model": "sql", "input": "Hello", "temperature": 0, "max_output_tokens": 8, "stop": []}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}


@pytest.fixture
def stream(call):
    """The events of a streamed response, whose bytes are as clients expect them."""

    def ask(**body) -> list[dict]:
        response = call("POST", PATH, json={**SHORT, **body, "stream": True})
        assert response.status_code == 200, response.text
        *parts, last = response.content.decode().split("\n\n")
        assert last == ""
        found = []
        for part in parts:
            name, data = part.split("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
        assert [one["sequence_number"] for one in found] == list(range(len(found)))
        return found

    return ask


def text_of(response) -> str:
    (item,) = response["output"]
    (part,) = item["content"]
    return part["text"]


class TestWhole:
    def test_the_text_is_that_of_a_chat(self, post):
        response = post(PATH, **SHORT)
        chat = post(CHAT, **SHORT_CHAT)
        assert text_of(response) == chat["choices"][0]["message"]["content"]
        assert response["object"] == "response"
        assert (response["status"], response["incomplete_details"]) == (
            "incomplete",
            {"reason": "max_output_tokens"},
        )
        assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]
        assert response["usage"]["output_tokens"] == 8
        assert response["model"] == "sql"
        assert response["max_output_tokens"] == 8

    def test_it_repeats_its_request_with_all_fields(self, post):
        tool = {"type": "function", "name": "now"}
        response = post(PATH, **SHORT, tools=[tool], text={"verbosity": "low"})
        whole = {**tool, "description": None, "parameters": None, "strict": False}
        assert response["tools"] == [whole]
        assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}
        assert post(PATH, **SHORT)["text"] == {"format": {"type": "text"}}

    def test_an_answer_that_ends_is_completed(self, post):
        response = post(PATH, **SHORT, grammar='root ::= "yes"')
        assert (text_of(response), response["status"]) == ("yes", "completed")
        assert response["output"][0]["status"] == "completed"

    def test_a_format_is_enforced(self, post):
        form = {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}
        response = post(PATH, **{**SHORT, "max_output_tokens": 60}, text=form)
        assert json.loads(text_of(response)).keys() == {"ok", "n"}

    def test_probabilities_are_told(self, post):
        response = post(PATH, **SHORT, top_logprobs=2, include=["message.output_text.logprobs"])
        (part,) = response["output"][0]["content"]
        assert len(part["logprobs"]) == 8
        assert post(PATH, **SHORT)["output"][0]["content"][0]["logprobs"] == []

    def test_a_tool_is_called(self, post):
        body = {**SHORT, "max_output_tokens": 100, "tools": [WEATHER], "tool_choice": "required"}
        response = post(PATH, **body, parallel_tool_calls=False)
        (call,) = response["output"]
        assert (call["type"], call["name"], call["status"]) == (
            "function_call",
            "weather",
            "completed",
        )
        assert call["call_id"].startswith("call_")
        assert json.loads(call["arguments"])["city"] in ("Rome", "Oslo")


class TestInput:
    def test_items_are_the_messages_of_a_chat(self, post):
        call = {"name": "weather", "arguments": '{"city": "Rome"}'}
        items = [
            {"role": "developer", "content": "Be short."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "1", **call},
            {"type": "function_call_output", "call_id": "1", "output": "sun"},
        ]
        response = post(PATH, **{**SHORT, "input": items}, instructions="Be kind.")
        messages = [
            {"role": "system", "content": "Be kind.\n\nBe short."},
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [{"id": "1", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "sun"},
        ]
        chat = post(CHAT, **{**SHORT_CHAT, "messages": messages})
        assert text_of(response) == chat["choices"][0]["message"]["content"]
        assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"background": True}, "background"),
            ({"input": None}, "input"),
            ({"input": []}, "input"),
            ({"input": 3}, "input"),
            ({"input": ["x"]}, "input[0]"),
            ({"input": [{"type": "reasoning"}]}, "input"),
            ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
            ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
            ({"input": [{"role": "user"}]}, "input[0].content"),
            (
                {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
                "input[0].content[0].type",
            ),
            ({"max_output_tokens": 0}, "max_output_tokens"),
            ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"instructions": 3}, "instructions"),
        ],
    )
    def test_what_cannot_be_granted_is_named(self, post, body, param):
        error = post(PATH, status=400, **{**SHORT, **body})["error"]
        assert error["param"] == param

    def test_calls_join_the_assistants_message(self, post):
        call = {"name": "weather", "arguments": '{"city": "Rome"}'}
        item = {"type": "function_call", "call_id": "1", **call}
        result = {"type": "function_call_output", "call_id": "1", "output": "sun"}
        question = {"role": "user", "content": "Hi"}
        tool_calls = [{"id": "1", "type": "function", "function": call}] * 2
        spoken = {"role": "assistant", "content": "", "tool_calls": tool_calls}
        told = {"role": "tool", "tool_call_id": "1", "content": "sun"}
        items = [question, item, item, result, result]
        messages = [question, spoken, told, told]
        response = post(PATH, **{**SHORT, "input": items})
        chat = post(CHAT, **{**SHORT_CHAT, "messages": messages})
        assert text_of(response) == chat["choices"][0]["message"]["content"]
        assert response["usage"]["input_tokens"] == chat["usage"]["prompt_tokens"]


class TestEvents:
    def test_of_a_text(self, stream, post):
        told = stream()
        kinds = [one["type"] for one in told]
        assert kinds[:4] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        assert kinds[-4:] == [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
        text = "".join(one["delta"] for one in told if one["type"].endswith("_text.delta"))
        assert text == text_of(post(PATH, **SHORT)) == text_of(told[-1]["response"])
        assert told[-1]["response"]["usage"]["output_tokens"] == 8

    def test_of_a_call(self, stream):
        body = {"max_output_tokens": 100, "tools": [WEATHER], "tool_choice": "required"}
        told = stream(**body, parallel_tool_calls=False)
        kinds = [one["type"] for one in told]
        assert "response.output_text.delta" not in kinds
        deltas = [one for one in told if one["type"] == "response.function_call_arguments.delta"]
        (call,) = told[-1]["response"]["output"]
        assert "".join(one["delta"] for one in deltas) == call["arguments"]
        assert {one["item_id"] for one in deltas} == {call["id"]}
        assert kinds[-1] == "response.completed"

    def test_of_a_thought_and_an_empty_answer(self, manager):
        form = ResponseForm("sql", {}, tools=False)
        result = manager.generate("sql", "Hello", max_tokens=1)
        told = list(form.begin())
        for one in (Thought(0, "Hm."), Text(0, "Yes"), Ended(0, result)):
            told += form.event(one)
        told += form.finish([result])
        kinds = [one.decode().split("\n")[0].removeprefix("event: response.") for one in told]
        assert kinds[2:8] == [
            "output_item.added",
            "content_part.added",
            "reasoning_text.delta",
            "reasoning_text.done",
            "content_part.done",
            "output_item.done",
        ]
        last = json.loads(told[-1].decode().split("data: ")[1])
        thought, message = last["response"]["output"]
        assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
        assert message["content"][0]["text"] == "Yes"
        empty = ResponseForm("sql", {}, tools=False)
        list(empty.event(Ended(0, result)))
        (last,) = empty.finish([])
        (item,) = json.loads(last.decode().split("data: ")[1])["response"]["output"]
        assert item["content"][0]["text"] == ""

    def test_a_text_before_calls_has_its_own_probabilities(self, manager):
        text, call = "Hm. So:", '\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
        answer = f"{text}{call}{call}"
        tokens = [
            AnswerToken(0, answer[i : i + 4].encode(), -1.0, ()) for i in range(0, len(answer), 4)
        ]
        result = replace(manager.generate("sql", "Hello", max_tokens=1), text=answer)
        form, pieces = ResponseForm("sql", {}, tools=True), TokenPieces()
        for piece in answer:
            list(form.event(Text(0, piece, pieces.take(tokens, piece))))
        list(form.event(Ended(0, result, pieces.take(tokens, None))))
        (last,) = form.finish([result])
        streamed = json.loads(last.decode().split("data: ")[1])["response"]
        whole = ResponseForm("sql", {}, tools=True).whole([replace(result, logprobs=tokens)])
        for response in (streamed, whole):
            message, *calls = response["output"]
            (part,) = message["content"]
            assert (part["text"], len(calls)) == (text, 2)
            assert [one["token"] for one in part["logprobs"]] == ["Hm. "]

    def test_probabilities_of_a_text_that_was_held_back_are_told(self, manager):
        form = ResponseForm("sql", {}, tools=True)
        pieces = ["\n", "<too", " b", " "]
        tokens = [AnswerToken(0, one.encode(), -1.0, ()) for one in pieces]
        for one in tokens:
            list(form.event(Text(0, one.data.decode(), (one,))))
        result = manager.generate("sql", "Hello", max_tokens=1)
        list(form.event(Ended(0, result)))
        (last,) = form.finish([result])
        (item,) = json.loads(last.decode().split("data: ")[1])["response"]["output"]
        (part,) = item["content"]
        assert part["text"] == "".join(pieces)
        assert [one["token"] for one in part["logprobs"]] == pieces

    def test_an_error_in_the_middle_fails_the_response(self):
        form = ResponseForm("sql", {}, tools=False)
        list(form.begin())
        list(form.event(Text(0, "Yes")))
        (last,) = form.failure(APIError(504, "Too late.", code="timeout"))
        told = json.loads(last.decode().split("data: ")[1])
        assert told["type"] == "response.failed"
        assert told["response"]["error"] == {"code": "timeout", "message": "Too late."}
