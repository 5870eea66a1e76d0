"""Chat completions: fields, answers whole and streamed, what is refused."""

from __future__ import annotations

import json

import pytest

from hivellm_lite.server.options import ServerOptions

CHAT = "/v1/chat/completions"
ASK = {"model": "sql", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
SHORT = {**ASK, "max_tokens": 8, "stop": []}


SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2]}},
    "required": ["ok", "n"],
    "additionalProperties": False,
}


def events(response) -> list[dict]:
    """The events of a streamed response, whose bytes are as clients expect them."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *parts, last = response.content.decode().split("\n\n")
    assert last == ""
    assert parts.pop() == "data: [DONE]"
    assert all(part.startswith("data: {") and "\n" not in part for part in parts)
    assert b"\r" not in response.content
    return [json.loads(part.removeprefix("data: ")) for part in parts]


@pytest.fixture
def stream(call):
    def ask(**body) -> list[dict]:
        return events(call("POST", CHAT, json={**SHORT, **body, "stream": True}))

    return ask


@pytest.fixture
def refused(call):
    def ask(**body) -> dict:
        response = call("POST", CHAT, json={**SHORT, **body})
        assert response.status_code == 400, response.text
        return response.json()["error"]

    return ask


def text_of(answer) -> str:
    return answer["choices"][0]["message"]["content"]


class TestAnswers:
    def test_an_answer_is_that_of_the_library(self, post, manager):
        answer = post(CHAT, **SHORT)
        alone = manager.generate("sql", "Hello", temperature=0, max_tokens=8, stop=[])
        assert text_of(answer) == alone.text
        assert answer["object"] == "chat.completion"
        assert answer["model"] == "sql"
        assert answer["id"].startswith("chatcmpl-")
        (choice,) = answer["choices"]
        assert (choice["index"], choice["finish_reason"]) == (0, "length")
        assert choice["message"]["role"] == "assistant"
        usage = answer["usage"]
        assert usage["completion_tokens"] == 8
        assert usage["prompt_tokens"] == alone.prompt_tokens
        assert usage["total_tokens"] == usage["prompt_tokens"] + 8

    def test_a_conversation_keeps_the_experts_system_message(self, post, manager):
        messages = [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "and"},
        ]
        answer = post(CHAT, **{**SHORT, "messages": messages})
        alone = manager.generate(
            "sql", messages=messages, system="Dialect: sql", temperature=0, max_tokens=8, stop=[]
        )
        assert answer["usage"]["prompt_tokens"] == alone.prompt_tokens
        assert text_of(answer) == alone.text

    def test_parts_developer_and_system_are_read(self, post):
        def asked(role, content):
            messages = [{"role": role, "content": content}, *ASK["messages"]]
            return text_of(post(CHAT, **{**SHORT, "messages": messages}))

        parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief"}]
        expected = asked("system", "Be brief")
        assert asked("developer", "Be brief") == expected
        assert asked("system", parts) == expected

    def test_null_is_not_given_and_unknown_fields_are_ignored(self, post):
        names = (
            "n stop seed top_p tools tool_choice response_format stream_options logprobs grammar"
        )
        nulls = dict.fromkeys(names.split())
        plain = post(CHAT, **ASK, max_tokens=8)
        odd = post(CHAT, **ASK, max_tokens=8, **nulls, user="me", whatever={"a": [1]})
        assert text_of(odd) == text_of(plain)

    def test_several_answers_have_seeds_that_follow_one_another(self, post):
        hot = {**SHORT, "temperature": 1.5, "top_k": 0, "top_p": 1}
        three = post(CHAT, **hot, n=3, seed=7)
        texts = [choice["message"]["content"] for choice in three["choices"]]
        assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
        assert texts == [text_of(post(CHAT, **hot, seed=seed)) for seed in (7, 8, 9)]
        assert three["usage"]["completion_tokens"] == 24

    @pytest.mark.parametrize("seed", [-1, -(1 << 63), (1 << 64) - 1, 1 << 40])
    def test_a_seed_is_any_64_bit_integer(self, post, seed):
        hot = {**SHORT, "temperature": 1.5, "seed": seed}
        assert text_of(post(CHAT, **hot)) == text_of(post(CHAT, **hot))

    def test_a_stop_text_ends_the_answer(self, post):
        whole = text_of(post(CHAT, **SHORT))
        stop = whole[2:4]
        answer = post(CHAT, **{**SHORT, "stop": stop})
        assert text_of(answer) == whole[: whole.index(stop)]
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert text_of(post(CHAT, **{**SHORT, "stop": ["never", stop]})) == text_of(answer)

    def test_max_completion_tokens_is_max_tokens(self, post):
        answer = post(CHAT, **ASK, stop=[], max_completion_tokens=3, max_tokens=9)
        assert answer["usage"]["completion_tokens"] == 3

    def test_the_servers_limit_of_tokens_holds(self, call):
        options = ServerOptions(max_tokens=2)
        for given in ({}, {"max_tokens": 50}):
            answer = call("POST", CHAT, json={**ASK, "stop": [], **given}, options=options).json()
            assert answer["usage"]["completion_tokens"] == 2
            assert answer["choices"][0]["finish_reason"] == "length"


class TestWho:
    def test_auto_tells_who_answered(self, post):
        answer = post(CHAT, **{**SHORT, "model": "auto", "messages": [
            {"role": "user", "content": "Show the table"}]})  # fmt: skip
        assert answer["model"] == "sql"
        assert post(CHAT, **{**SHORT, "model": "auto"})["model"] == "base"

    def test_a_blend_is_computed_with_its_weights(self, post, manager):
        name = "sql:0.5+style:2"
        answer = post(CHAT, **{**SHORT, "model": name})
        alone = manager.generate(
            {"sql": 0.5, "style": 2.0}, "Hello", temperature=0, max_tokens=8, stop=[]
        )
        assert (answer["model"], text_of(answer)) == (name, alone.text)

    def test_an_unknown_model_is_not_found(self, call):
        response = call("POST", CHAT, json={**SHORT, "model": "gpt-4o"})
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"


class TestStreams:
    def test_a_stream_has_the_text_of_the_whole_answer(self, stream, post):
        chunks = stream()
        assert all(len(chunk["choices"]) == 1 for chunk in chunks)
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk["id"] for chunk in chunks}) == 1
        choices = [chunk["choices"][0] for chunk in chunks]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert all("role" not in choice["delta"] for choice in choices[1:])
        assert all(None not in choice["delta"].values() for choice in choices)
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        assert text == text_of(post(CHAT, **SHORT))
        assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
        assert choices[-1] == {"index": 0, "delta": {}, "finish_reason": "length"}
        assert not any("usage" in chunk for chunk in chunks)

    def test_usage_comes_last_where_it_is_asked_for(self, stream):
        *others, last = stream(stream_options={"include_usage": True})
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 8
        assert all(chunk["choices"] for chunk in others)

    def test_several_answers_are_told_apart_by_their_index(self, stream):
        chunks = stream(n=3, temperature=1.5, seed=1)
        ends = [c["choices"][0] for c in chunks if c["choices"][0]["finish_reason"]]
        assert sorted(choice["index"] for choice in ends) == [0, 1, 2]
        begins = [c["choices"][0] for c in chunks if "role" in c["choices"][0]["delta"]]
        assert [choice["index"] for choice in begins] == [0, 1, 2]

    def test_an_error_before_the_first_piece_has_its_true_status(self, call):
        long = [{"role": "user", "content": "word " * 2000}]
        response = call("POST", CHAT, json={**SHORT, "messages": long, "stream": True})
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "context_length_exceeded"


class TestForms:
    def test_a_schema_is_followed(self, post):
        schema = {"name": "answer", "strict": True, "schema": SCHEMA}
        form = {"type": "json_schema", "json_schema": schema}
        answer = post(CHAT, **{**SHORT, "max_tokens": 60}, response_format=form)
        found = json.loads(text_of(answer))
        assert isinstance(found["ok"], bool)
        assert found["n"] in (1, 2)
        assert answer["choices"][0]["finish_reason"] == "stop"

    def test_json_object_is_an_object(self, post):
        answer = post(CHAT, **{**SHORT, "max_tokens": 4}, response_format={"type": "json_object"})
        assert text_of(answer).startswith("{")

    def test_a_keyword_that_cannot_be_enforced_is_named(self, refused, post):
        schema = {"type": "array", "uniqueItems": True}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        assert "uniqueItems" in refused(response_format=form)["message"]
        post(CHAT, **SHORT, response_format=form, allow_unenforced=True)

    def test_a_grammar_is_a_text_or_a_name_and_never_a_path(self, post, refused, tmp_path):
        assert text_of(post(CHAT, **SHORT, grammar='root ::= "yes"')) == "yes"
        path = tmp_path / "secret.gbnf"
        path.write_text('root ::= "secret"')
        error = refused(grammar=str(path))
        assert error["param"] == "grammar"
        assert "secret" not in error["message"].replace(str(path), "")
        assert refused(grammar="root ::= (")["code"] == "invalid_grammar"

    def test_our_own_fields_reach_the_expert(self, post, manager):
        greedy = {"temperature": 0, "max_tokens": 8, "stop": []}
        answer = post(CHAT, **SHORT, schema="CREATE TABLE t", adapter_scale=0.5)
        alone = manager.generate(
            "sql", "Hello", schema="CREATE TABLE t", adapter_scale=0.5, **greedy
        )
        assert text_of(answer) == alone.text
        assert answer["usage"]["prompt_tokens"] == alone.prompt_tokens
        tags = manager.generate("sql", "Hello", template="hivellm-tags", **greedy)
        answer = post(CHAT, **SHORT, template="hivellm-tags")
        assert answer["usage"]["prompt_tokens"] == tags.prompt_tokens


class TestThoughts:
    GRAMMAR = 'root ::= "<think>so and so</think>yes"'

    def test_a_thought_is_kept_out_of_the_content(self, post):
        answer = post(CHAT, **{**SHORT, "max_tokens": 60}, grammar=self.GRAMMAR)
        message = answer["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("yes", "so and so")

    def test_a_stream_tells_it_before_the_content(self, stream):
        chunks = stream(grammar=self.GRAMMAR, max_tokens=60)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        thought, *content = [delta for delta in deltas[1:] if delta]
        assert thought == {"reasoning_content": "so and so"}
        assert "".join(delta["content"] for delta in content) == "yes"

    def test_a_thought_that_is_cut_off_is_told_too(self, stream):
        chunks = stream(grammar='root ::= "<think>" [a-z]{100} "</think>"', max_tokens=30)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert any(delta.get("reasoning_content") for delta in deltas)
        assert not any(delta.get("content") for delta in deltas)
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
            ({"messages": [{"role": "user"}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
            (
                {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                "messages[0].content[0].type",
            ),
            ({"model": None}, "model"),
            ({"adapter_scale": 1e30}, "adapter_scale"),
            ({"n": 0}, "n"),
            ({"n": 129}, "n"),
            ({"stop": ["a"] * 5}, "stop"),
            ({"stop": [1]}, "stop[0]"),
            ({"temperature": "hot"}, "temperature"),
            ({"temperature": -1}, "temperature"),
            ({"top_p": -0.1}, "top_p"),
            ({"seed": 1 << 64}, "seed"),
            ({"seed": 1.5}, "seed"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"stream": "yes"}, "stream"),
            ({"template": "llama3"}, "template"),
            ({"response_format": {"type": "xml"}}, "response_format.type"),
            (
                {"response_format": {"type": "json_schema"}},
                "response_format.json_schema",
            ),
            ({"presence_penalty": 3}, "presence_penalty"),
            ({"logit_bias": {"one": 1}}, "logit_bias"),
            ({"logit_bias": {"1": "2"}}, "logit_bias.1"),
            ({"logit_bias": {"999999999": 1}}, "logit_bias"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ],
    )
    def test_the_field_at_fault_is_named(self, refused, body, param):
        error = refused(**body)
        assert error["param"] == param
        assert error["type"] == "invalid_request_error"

    def test_what_is_no_json_is_told_where(self, call):
        headers = {"Content-Type": "application/json"}
        response = call("POST", CHAT, content=b'{"a": }', headers=headers)
        assert response.status_code == 400
        assert "line 1" in response.json()["error"]["message"]

    def test_another_type_of_content_is_refused(self, call):
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            headers = {"Content-Type": kind}
            response = call("POST", CHAT, content=json.dumps(SHORT), headers=headers)
            assert response.status_code == 415

    def test_a_body_that_is_too_long_is_refused(self, call):
        options = ServerOptions(max_body=100)
        response = call("POST", CHAT, json={**SHORT, "user": "x" * 100}, options=options)
        assert response.status_code == 413

        async def chunks():
            for _ in range(20):
                yield b" " * 10

        headers = {"Content-Type": "application/json"}
        response = call("POST", CHAT, content=chunks(), headers=headers, options=options)
        assert response.status_code == 413


@pytest.mark.parametrize("fields", [{"stop": ""}, {"stop": [""]}, {"stop": None}])
def test_an_empty_stop_is_none(post, fields):
    ask = {name: value for name, value in SHORT.items() if name != "stop"}
    assert post(CHAT, **ask, **fields)["choices"] == post(CHAT, **ask)["choices"]


def test_a_top_p_of_zero_takes_the_most_probable_token(post):
    answer = post(CHAT, **{**SHORT, "temperature": 1}, top_p=0)
    assert text_of(answer) == text_of(post(CHAT, **SHORT))
