"""The official Python client as it is, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from pydantic import BaseModel
from starlette.applications import Starlette

from hivellm_lite.server.app import create_app
from hivellm_lite.server.options import APIKey, ServerOptions

from .running import serving

MESSAGES = [{"role": "user", "content": "Hello"}]
GREEDY = {"model": "sql", "messages": MESSAGES, "temperature": 0, "max_tokens": 8}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Rome", "Oslo"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]
CALL = {**GREEDY, "max_tokens": 100, "tools": TOOLS, "parallel_tool_calls": False}
RESPOND = {"model": "sql", "input": "Hello", "temperature": 0}


class Verdict(BaseModel):
    ok: bool
    level: int


@pytest.fixture(scope="module")
def app(manager) -> Starlette:
    return create_app(manager, ServerOptions(keys=(APIKey("ann", "secret"),), queue=4))


@pytest.fixture(scope="module")
def address(app) -> Iterator[str]:
    with serving(app) as found:
        yield found


@pytest.fixture
def client(address) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as made:
        yield made


def test_models_are_listed_and_told(client):
    assert {model.id for model in client.models.list()} == {"sql", "style", "auto", "base"}
    assert client.models.retrieve("sql").id == "sql"


def test_a_chat_is_answered(client, manager):
    answer = client.chat.completions.create(**GREEDY)
    alone = manager.generate("sql", "Hello", temperature=0, max_tokens=8)
    assert answer.choices[0].message.content == alone.text
    assert answer.usage.total_tokens == alone.prompt_tokens + alone.completion_tokens


def test_a_stream_is_the_same_text(client):
    whole = client.chat.completions.create(**GREEDY)
    chunks = list(
        client.chat.completions.create(
            **GREEDY, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage or chunks[-1].usage.completion_tokens == 8


def test_the_clients_own_stream_helper_reads_the_events(client):
    yes = {"grammar": 'root ::= "yes"'}
    with client.chat.completions.stream(**GREEDY, extra_body=yes) as stream:
        kinds = [event.type for event in stream]
    assert "content.delta" in kinds
    assert stream.get_final_completion().choices[0].message.content == "yes"


def test_a_pydantic_model_is_parsed(client):
    answer = client.chat.completions.parse(**{**GREEDY, "max_tokens": 120}, response_format=Verdict)
    message = answer.choices[0].message
    assert isinstance(message.parsed, Verdict)


def test_our_own_fields_go_through_extra_body(client):
    answer = client.chat.completions.create(**GREEDY, extra_body={"grammar": 'root ::= "yes"'})
    assert answer.choices[0].message.content == "yes"


def test_text_is_completed(client):
    answer = client.completions.create(model="sql", prompt=["Once", "Then"], max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_a_wrong_model_and_a_wrong_key_are_told_apart(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(**{**GREEDY, "model": "gpt-4o"})
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wrong").models.list()
    assert refused.value.code == "invalid_api_key"


def test_a_full_queue_is_asked_again(client, app):
    admission = app.state.service.admission
    with admission.place(4), pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(**GREEDY)
    assert caught.value.code == "queue_full"
    assert caught.value.response.headers["retry-after"] == "1"
    freed = []

    class Freeing(openai.OpenAI):
        def _sleep_for_retry(self, **arguments) -> None:
            freed.append(arguments["retries_taken"])
            held.__exit__(None, None, None)

    held = admission.place(4)
    held.__enter__()
    patient = Freeing(base_url=client.base_url, api_key="secret", max_retries=2)
    with patient:
        assert patient.chat.completions.create(**GREEDY).choices
    assert freed == [0]


class TestTools:
    def test_a_tool_is_called_and_its_result_is_answered(self, client):
        answer = client.chat.completions.create(**CALL, tool_choice="required")
        (choice,) = answer.choices
        (call,) = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
        result = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
        messages = [*MESSAGES, choice.message, result]
        again = client.chat.completions.create(**{**CALL, "messages": messages}, tool_choice="none")
        assert again.choices[0].message.content is not None

    def test_the_stream_helper_gathers_a_call(self, client):
        whole = client.chat.completions.create(**CALL, tool_choice="required")
        with client.chat.completions.stream(**CALL, tool_choice="required") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_completion()
        assert "tool_calls.function.arguments.delta" in kinds
        assert "tool_calls.function.arguments.done" in kinds
        (call,) = final.choices[0].message.tool_calls
        (expected,) = whole.choices[0].message.tool_calls
        assert call.function.arguments == expected.function.arguments
        assert call.function.parsed_arguments == json.loads(call.function.arguments)


class TestResponses:
    def test_a_response_is_created(self, client):
        response = client.responses.create(**RESPOND, max_output_tokens=8)
        chat = client.chat.completions.create(**GREEDY)
        assert response.output_text == chat.choices[0].message.content
        assert response.status == "incomplete"
        assert response.usage.output_tokens == 8

    def test_a_stream_ends_with_the_same_response(self, client):
        with client.responses.stream(**RESPOND, max_output_tokens=8) as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
            # `get_final_response` waits for "completed"
        assert text == client.responses.create(**RESPOND, max_output_tokens=8).output_text

    def test_a_pydantic_model_is_parsed(self, client):
        response = client.responses.parse(**RESPOND, text_format=Verdict)
        assert isinstance(response.output_parsed, Verdict)

    def test_a_tool_is_called(self, client):
        function = TOOLS[0]["function"]
        options = {"tools": [{"type": "function", **function}], "parallel_tool_calls": False}
        with client.responses.stream(**RESPOND, **options, tool_choice="required") as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        assert "response.function_call_arguments.delta" in kinds
        (call,) = final.output
        assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")

    def test_an_earlier_response_is_not_kept(self, client):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(**RESPOND, previous_response_id="resp_1")
        assert caught.value.param == "previous_response_id"


def test_probabilities_are_told(client):
    answer = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=3)
    assert len(answer.choices[0].logprobs.content) == 8
