"""Completions, scores and routes."""

from __future__ import annotations

import pytest

from .test_chat import events

COMPLETE = {"model": "sql", "prompt": "Once", "temperature": 0, "max_tokens": 6, "stop": []}


class TestCompletions:
    PATH = "/v1/completions"

    def test_a_text_is_continued_as_it_is(self, post, manager):
        answer = post(self.PATH, **COMPLETE)
        alone = manager.generate(
            "sql", "Once", template="raw", temperature=0, max_tokens=6, stop=[]
        )
        (choice,) = answer["choices"]
        assert (choice["text"], choice["finish_reason"]) == (alone.text, "length")
        assert answer["object"] == "text_completion"
        assert answer["usage"]["prompt_tokens"] == alone.prompt_tokens

    def test_several_prompts_have_several_answers_each(self, post):
        answer = post(self.PATH, **{**COMPLETE, "prompt": ["Once", "Then"]}, n=2)
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
        texts = [choice["text"] for choice in answer["choices"]]
        assert texts[0] == texts[1] == post(self.PATH, **COMPLETE)["choices"][0]["text"]
        one = post(self.PATH, **COMPLETE)["usage"]["prompt_tokens"]
        assert one < answer["usage"]["prompt_tokens"] <= 4 * one

    def test_a_stream_has_the_same_text(self, post, call):
        body = {**COMPLETE, "stream": True, "stream_options": {"include_usage": True}}
        *chunks, last = events(call("POST", self.PATH, json=body))
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        assert text == post(self.PATH, **COMPLETE)["choices"][0]["text"]
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 6

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"prompt": None}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": [1, 2]}, "prompt"),
            ({"prompt": [[1]]}, "prompt"),
            ({"prompt": {}}, "prompt"),
            ({"echo": True}, "echo"),
            ({"suffix": "x"}, "suffix"),
            ({"best_of": 3}, "best_of"),
            ({"logprobs": 21}, "logprobs"),
        ],
    )
    def test_what_cannot_be_granted_is_named(self, post, body, param):
        error = post(self.PATH, status=400, **{**COMPLETE, **body})["error"]
        assert error["param"] == param


class TestScores:
    PATH = "/v1/score"

    def test_the_score_is_that_of_the_library(self, post, manager):
        answer = post(self.PATH, model="sql", prompt="Hello", completion=" world")
        expected = manager.score("sql", "Hello", " world")
        assert [token["id"] for token in answer["tokens"]] == [one.token for one in expected]
        assert answer["logprob"] == pytest.approx(sum(one.logprob for one in expected))
        assert answer["model"] == "sql"

    def test_messages_blends_and_the_choice_by_the_prompt_are_scored(self, post):
        messages = [{"role": "user", "content": "Show the table"}]
        answer = post(self.PATH, model="auto", messages=messages, completion="x")
        assert answer["model"] == "sql"
        post(self.PATH, model="sql:0.5+style", prompt="Hello", completion="x", adapter_scale=0.5)

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"completion": None}, "completion"),
            ({"prompt": None}, "prompt"),
            ({"messages": [{"role": "user", "content": "x"}]}, "prompt"),
            ({"model": 3}, "model"),
        ],
    )
    def test_what_is_missing_is_named(self, post, body, param):
        fields = {"model": "sql", "prompt": "Hello", "completion": "x", **body}
        assert post(self.PATH, status=400, **fields)["error"]["param"] == param


class TestRoutes:
    PATH = "/v1/route"

    def test_the_choice_is_explained(self, post):
        answer = post(self.PATH, prompt="Show the sql table")
        assert answer["model"] == "sql"
        assert "table" in answer["reason"]
        best = answer["scores"][0]
        assert best["model"] == "sql"
        assert set(best["keywords"]) == {"sql", "table"}

    def test_what_fits_nobody_goes_to_the_base(self, post):
        messages = [{"role": "user", "content": "Good morning"}]
        assert post(self.PATH, messages=messages)["model"] == "base"
        assert post(self.PATH, status=400)["error"]["param"] == "prompt"
