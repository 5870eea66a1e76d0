"""Tools: what the model is told, what the grammar allows, what clients get."""

from __future__ import annotations

import json
import re
from itertools import chain

import pytest

from hivellm_lite import GrammarError
from hivellm_lite.prompts.conversation import check_messages
from hivellm_lite.server.errors import APIError
from hivellm_lite.server.fields import Fields
from hivellm_lite.server.messages import call_of, conversation, read_messages
from hivellm_lite.server.tools.definitions import Tools, read_tools
from hivellm_lite.server.tools.grammar import MAX_KEPT, tools_grammar
from hivellm_lite.server.tools.reader import CallReader, read_answer

from .test_chat import CHAT, SHORT, events

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell it", "parameters": CITY, "strict": True},
}
NOW = {"type": "function", "function": {"name": "now"}}
TOOLS = [WEATHER, NOW]

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
NOW_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def read(**body):
    return read_tools(Fields({"tools": TOOLS, **body}), nested=True)


def ask(**body) -> dict:
    return {**SHORT, "tools": TOOLS, "max_tokens": 120, **body}


class TestDefinitions:
    def test_choices(self):
        assert read(tool_choice="none") is None
        assert read_tools(Fields({"tool_choice": "auto"}), nested=True) is None
        assert not read().required
        assert read(tool_choice="required").required
        one = read(tool_choice={"type": "function", "function": {"name": "now"}})
        assert ([tool.name for tool in one.callable], one.required, one.parallel) == (
            ["now"],
            True,
            False,
        )
        assert len(one.shown) == 2

    def test_a_part_of_the_tools_can_be_allowed(self):
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}
        found = read(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
        assert [tool.name for tool in found.callable] == ["now"]
        assert found.required
        assert found.parallel

    def test_the_flat_form_of_responses(self):
        tools = [{"type": "function", "name": "now", "parameters": None}]
        choice = {"type": "function", "name": "now"}
        found = read_tools(Fields({"tools": tools, "tool_choice": choice}), nested=False)
        assert [tool.name for tool in found.callable] == ["now"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "function"}]}, "tools[0].function"),
            ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
            (
                {"tools": [{"type": "function", "function": {"name": 'a"b'}}]},
                "tools[0].function.name",
            ),
            ({"tools": [NOW, NOW]}, "tools"),
            ({"tools": [NOW] * 129}, "tools"),
            (
                {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
                "tools[0].function.parameters",
            ),
            (
                {
                    "tools": [
                        {
                            "type": "function",
                            "function": {"name": "a", "parameters": {"type": "array"}},
                        }
                    ]
                },
                "tools[0].function.parameters.type",
            ),
            ({"tools": [], "tool_choice": "required"}, "tool_choice"),
            ({"tool_choice": "sometimes"}, "tool_choice"),
            ({"tool_choice": 3}, "tool_choice"),
            ({"tool_choice": {"type": "custom"}}, "tool_choice.type"),
            (
                {"tool_choice": {"type": "function", "function": {"name": "later"}}},
                "tool_choice.function.name",
            ),
            ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ],
    )
    def test_what_is_wrong_is_named(self, body, param):
        with pytest.raises(APIError) as caught:
            read(**body)
        assert caught.value.status == 400
        assert caught.value.param == param

    def test_a_strict_schema_that_cannot_be_enforced_is_refused(self):
        schema = {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}
        tool = {"name": "a", "parameters": schema, "strict": True}
        tools = read(tools=[{"type": "function", "function": tool}])
        with pytest.raises(APIError, match="uniqueItems") as caught:
            tools_grammar(tools)
        assert caught.value.param == "tools[0].function.parameters"
        loose = read(tools=[{"type": "function", "function": {**tool, "strict": False}}])
        assert tools_grammar(loose)


class TestGrammar:
    @pytest.mark.parametrize(
        "text",
        ["", "Hello <b> <tool_cal", f"I look.\n{CALL}", CALL, f"{CALL}\n{NOW_CALL}", "<<tool_call"],
    )
    def test_text_may_end_with_calls(self, text):
        assert tools_grammar(read()).accepts(text)

    @pytest.mark.parametrize(
        "text",
        [
            "<tool_call>",
            "x <<tool_call> y",
            f"{CALL} and more",
            CALL.replace("Rome", "Bonn"),
            CALL.replace("weather", "rain"),
            NOW_CALL.replace("{}", '{"a": 1}'),
        ],
    )
    def test_a_call_must_be_one_of_a_tool(self, text):
        assert not tools_grammar(read()).accepts(text)

    def test_a_demand_leaves_no_text(self):
        grammar = tools_grammar(read(tool_choice="required"))
        assert grammar.accepts(f"{CALL}\n{CALL}")
        assert not grammar.accepts("Hello")
        one = tools_grammar(read(tool_choice="required", parallel_tool_calls=False))
        assert one.accepts(CALL)
        assert not one.accepts(f"{CALL}\n{CALL}")

    def test_the_answer_without_calls_may_have_a_grammar_too(self):
        grammar = tools_grammar(read(), 'root ::= body\nbody ::= "yes"')
        assert [grammar.accepts(text) for text in ("yes", CALL, "no")] == [True, True, False]
        with pytest.raises(GrammarError, match="the answer without calls"):
            tools_grammar(read(), "root ::= (")

    def test_the_same_tools_have_the_same_grammar(self):
        assert tools_grammar(read()) is tools_grammar(read())

    def test_descriptions_do_not_matter(self):
        told = {**NOW["function"], "description": "Tell the time."}
        changed = read(tools=[WEATHER, {"type": "function", "function": told}])
        assert tools_grammar(changed) is tools_grammar(read())

    def test_that_of_a_large_schema_is_not_kept(self):
        def asked(n: int) -> Tools:
            schema = {"type": "object", "description": "x" * n}
            function = {"name": "a", "parameters": schema}
            return read(tools=[{"type": "function", "function": function}])

        assert tools_grammar(asked(100)) is tools_grammar(asked(100))
        assert tools_grammar(asked(MAX_KEPT)) is not tools_grammar(asked(MAX_KEPT))

    @pytest.mark.parametrize(
        ("schema", "arguments", "wrong"),
        [
            ({"$ref": "#/$defs/A", "$defs": {"A": CITY}}, '{"city": "Rome"}', '{"city": 1}'),
            (
                {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": CITY}},
                '{"a": {"city": "Rome"}}',
                '{"a": {"city": 1}}',
            ),
            ({"properties": {"a": {"$ref": "#"}}}, '{"a": {"a": {}}}', '{"a": {"a": 1}}'),
            ({"anyOf": [{"type": "integer"}, {"type": "object"}]}, "{}", "3"),
            ({"properties": {"größe🙂": {"const": "é"}}}, '{"größe🙂": "é"}', '{"größe🙂": "e"}'),
            ({}, '{"a": [1]}', "[1]"),
        ],
    )
    def test_arguments_are_always_objects_of_the_schema(self, schema, arguments, wrong):
        function = {"name": "a", "parameters": schema}
        grammar = tools_grammar(read(tools=[{"type": "function", "function": function}]))
        call = '<tool_call>\n{"name": "a", "arguments": %s}\n</tool_call>'
        assert grammar.accepts(call % arguments)
        assert not grammar.accepts(call % wrong)

    @pytest.mark.parametrize(
        "schema", [{"const": 3}, {"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}}]
    )
    def test_parameters_that_are_no_object_are_refused(self, schema):
        function = {"name": "a", "parameters": schema}
        with pytest.raises(APIError) as caught:
            tools_grammar(read(tools=[{"type": "function", "function": function}]))
        assert caught.value.param == "tools[0].function.parameters"


class TestPrompts:
    def test_a_tool_is_told_as_it_was_given(self):
        weather, now = (tool.as_dict() for tool in read().shown)
        told = {"name": "weather", "description": "Tell it"}
        assert weather == {
            "type": "function",
            "function": {**told, "parameters": {**CITY, "additionalProperties": False}},
        }
        assert list(now["function"]) == ["name", "parameters"]

    def test_calls_and_results_are_the_librarys(self):
        function = {"name": "weather", "arguments": '{"city":"Rome"}'}
        call = {"id": "1", "type": "function", "function": function}
        talk = read_messages(
            Fields(
                {
                    "messages": [
                        {"role": "user", "content": "And in Rome?"},
                        {
                            "role": "assistant",
                            "content": None,
                            "reasoning_content": "I ask.",
                            "tool_calls": [call],
                        },
                        {"role": "tool", "tool_call_id": "1", "name": "weather", "content": "sun"},
                    ]
                }
            )
        )
        assert talk.question == "And in Rome?"
        assert talk.messages[1:] == [
            {
                "role": "assistant",
                "content": "",
                "reasoning_content": "I ask.",
                "tool_calls": [{**call, "function": {**function, "arguments": {"city": "Rome"}}}],
            },
            {"role": "tool", "tool_call_id": "1", "name": "weather", "content": "sun"},
        ]
        assert len(check_messages(talk.messages)) == 3

    def test_calls_of_responses_belong_to_the_answer_before_them(self):
        call, other = (call_of(name, "{}", name) for name in ("a", "b"))
        calling = [{"role": "assistant", "tool_calls": [one]} for one in (call, other)]
        user, said = ({"role": role, "content": "x"} for role in ("user", "assistant"))
        after_text = conversation([user, said, *calling]).messages
        assert after_text == [user, {**said, "tool_calls": [call, other]}]
        alone = conversation([user, *calling]).messages
        assert alone[1:] == [{"role": "assistant", "content": "", "tool_calls": [call, other]}]

    @pytest.mark.parametrize("written", ["{", "[1]", "[" * 100_000, '{"a":' * 50 + "1" + "}" * 50])
    def test_arguments_that_are_no_object_stay_text(self, written):
        function = call_of("w", written, None)["function"]
        assert function == {"name": "w", "arguments": written}

    def test_a_prompt_has_the_tools_behind_the_system_message(self, post):
        plain = post(CHAT, **SHORT)["usage"]["prompt_tokens"]
        told = post(CHAT, **ask(tool_choice="auto"))["usage"]["prompt_tokens"]
        untold = post(CHAT, **ask(tool_choice="none"))["usage"]["prompt_tokens"]
        assert untold == plain < told

    def test_documents_need_a_template_that_has_a_place_for_them(self, call):
        body = {**SHORT, "documents": [{"title": "T", "text": "t"}]}
        response = call("POST", CHAT, json=body)
        assert response.status_code == 400
        assert "no place for documents" in response.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ({"documents": ["t"]}, "documents[0]"),
            ({"chat_template_kwargs": 3}, "chat_template_kwargs"),
            ({"chat_template_kwargs": {"messages": 3}}, "chat_template_kwargs['messages']"),
            ({"chat_template_kwargs": {"a": [1]}}, "must be a text, a number"),
            ({"chat_template_kwargs": {"thinking": 1}}, "must be True or False"),
        ],
    )
    def test_what_a_template_cannot_be_told_is_refused(self, call, body, problem):
        response = call("POST", CHAT, json={**SHORT, **body})
        assert response.status_code == 400
        assert problem in response.json()["error"]["message"]

    def test_more_variables_of_a_template_do_not_harm(self, post):
        told = {"chat_template_kwargs": {"enable_thinking": False, "other": "x"}}
        assert post(CHAT, **SHORT, **told)["choices"] == post(CHAT, **SHORT)["choices"]


class TestReader:
    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_reads_pieces_of_any_size(self, size):
        arguments = '{"city": "a}\\"{", "list": [{}, []]}'
        text = f'Look <b>\n<tool_call>\n{{"name": "w", "arguments": {arguments}}}\n</tool_call>'
        text += f"\n{NOW_CALL}"
        reader, told = CallReader(), []
        for place in range(0, len(text), size):
            told += reader.push(text[place : place + size])
        told += reader.finish()
        said, calls = read_answer(text)
        assert said == "Look <b>"
        assert [(call.name, call.arguments) for call in calls] == [("w", arguments), ("now", "{}")]
        assert "".join(one.text for one in told if type(one).__name__ == "Said") == said
        for index, call in enumerate(calls):
            pieces = [one for one in told if getattr(one, "index", None) == index]
            assert pieces[0].name == call.name
            assert "".join(one.text for one in pieces[1:]) == call.arguments

    def test_an_answer_that_was_cut_off_ends_in_the_middle(self):
        said, calls = read_answer('Yes\n<tool_call>\n{"name": "w", "arguments": {"city": "Ro')
        assert (said, calls[0].arguments) == ("Yes", '{"city": "Ro')
        assert read_answer("Yes <tool_") == ("Yes <tool_", [])
        assert read_answer("Yes\n") == ("Yes\n", [])
        assert read_answer('<tool_call>\n{"na') == ("", [])
        assert not calls[0].whole
        assert all(call.whole for call in read_answer(f"{CALL}\n{NOW_CALL}")[1])

    @pytest.mark.parametrize("text", ["a<b <tool", "a \u2003\n<", "<<", "a<tool_call", "a >\t"])
    def test_only_what_may_become_a_call_is_held_back(self, text):
        reader = CallReader()
        told = "".join(one.text for one in reader.push(text))
        assert told == re.sub(r"\s*(<(t(o(o(l(_(c(a(l(l)?)?)?)?)?)?)?)?)?)?\Z", "", text)
        assert told + "".join(one.text for one in reader.finish()) == text

    def test_a_million_spaces_are_read(self):
        text = " " * 1_000_000 + "x"
        assert read_answer(text) == (text, [])


class TestAnswers:
    def test_a_demanded_call_is_a_call(self, post):
        (choice,) = post(CHAT, **ask(tool_choice="required"))["choices"]
        assert choice["finish_reason"] == "tool_calls"
        message = choice["message"]
        assert message["content"] is None
        for call in message["tool_calls"]:
            assert call["id"].startswith("call_")
            assert call["type"] == "function"
            arguments = json.loads(call["function"]["arguments"])
            expected = {"weather": ({"city": "Rome"}, {"city": "Oslo"}), "now": ({},)}
            assert arguments in expected[call["function"]["name"]]

    def test_a_named_tool_is_called_once(self, post):
        named = {"type": "function", "function": {"name": "weather"}}
        (choice,) = post(CHAT, **ask(tool_choice=named))["choices"]
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "weather"

    def test_a_stream_has_the_same_calls(self, post, call):
        body = ask(tool_choice="required", parallel_tool_calls=False, seed=1, temperature=1, n=2)
        whole = post(CHAT, **body)["choices"]
        chunks = events(call("POST", CHAT, json={**body, "stream": True}))
        for index in range(2):
            choices = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
            calls = [*chain.from_iterable(one["delta"].get("tool_calls", []) for one in choices)]
            first, *rest = calls
            expected = whole[index]["message"]["tool_calls"][0]["function"]
            assert first["function"] == {"name": expected["name"], "arguments": ""}
            assert first["id"].startswith("call_")
            assert all("id" not in one and one["index"] == 0 for one in rest)
            assert "".join(one["function"]["arguments"] for one in rest) == expected["arguments"]
            assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["tool_calls"]
            assert not any(c["delta"].get("content") for c in choices)

    def test_free_text_is_text(self, post, call):
        body = ask(logit_bias={"80": 100}, max_tokens=6)
        (choice,) = post(CHAT, **body)["choices"]
        assert choice["message"]["content"]
        assert "tool_calls" not in choice["message"]
        assert choice["finish_reason"] == "length"
        chunks = events(call("POST", CHAT, json={**body, "stream": True}))
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
        assert text == choice["message"]["content"]

    def test_a_call_that_is_cut_off_ends_with_length(self, post):
        (choice,) = post(CHAT, **ask(tool_choice="required", max_tokens=20))["choices"]
        assert choice["finish_reason"] == "length"

    def test_a_call_that_a_stop_text_cuts_off_is_not_said_to_be_one(self, post, call):
        body = ask(tool_choice="required", tools=[WEATHER], stop=["city"])
        (choice,) = post(CHAT, **body)["choices"]
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"'
        assert choice["finish_reason"] == "stop"
        chunks = events(call("POST", CHAT, json={**body, "stream": True}))
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        item = {"type": "function", **WEATHER["function"]}
        asked = {"model": "sql", "input": "Hello", "stop": ["city"], "tools": [item]}
        response = post("/v1/responses", **asked, tool_choice="required")
        assert response["output"][0]["status"] == "incomplete"

    def test_with_a_format_the_answer_without_a_call_follows_it(self, post):
        form = {"type": "json_schema", "json_schema": {"schema": {"enum": [1, 2]}}}
        (choice,) = post(CHAT, **ask(response_format=form))["choices"]
        message = choice["message"]
        assert message.get("tool_calls") or json.loads(message["content"]) in (1, 2)

    def test_a_schema_stays_in_the_system_message(self, post):
        without = post(CHAT, **ask(tool_choice="required"))["usage"]["prompt_tokens"]
        schema = "CREATE TABLE t (a INT)"
        told = post(CHAT, **ask(tool_choice="required", schema=schema))["usage"]["prompt_tokens"]
        assert told > without
