"""What a model's name means."""

from __future__ import annotations

import pytest

from hivellm_lite.server.errors import APIError
from hivellm_lite.server.experts import read_model

NAMES = ["sql", "style", "odd:one", "a+b"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sql", "sql"),
        ("auto", "auto"),
        ("base", "base"),
        ("odd:one", "odd:one"),
        ("a+b", "a+b"),
        ("sql:0.7+style:0.3", {"sql": 0.7, "style": 0.3}),
        ("sql + style:2", {"sql": 1.0, "style": 2.0}),
        ("sql:0.5", {"sql": 0.5}),
        ("sql:-1e-1+style", {"sql": -0.1, "style": 1.0}),
    ],
)
def test_a_name_is_an_expert_a_choice_or_a_blend(text, meant):
    assert read_model(text, NAMES) == meant


@pytest.mark.parametrize(
    "text", ["", "SQL", "gpt-4o", "sql:0.7+gone:0.3", "sql+", "+", ":", "auto+sql"]
)
def test_an_unknown_name_is_not_found(text):
    with pytest.raises(APIError) as caught:
        read_model(text, NAMES)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    "text", ["sql:much", "sql:", "sql:nan", "sql:inf+style", "sql:1e9", "sql:1+sql:2"]
)
def test_a_blend_that_means_nothing_is_refused(text):
    with pytest.raises(APIError) as caught:
        read_model(text, NAMES)
    assert (caught.value.status, caught.value.param) == (400, "model")
