"""Sampling settings and their ranges."""

from __future__ import annotations

import math

import pytest

from hivellm_lite.sampling import SamplingParams


@pytest.mark.parametrize(
    "value",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 2.0},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": math.nan},
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(value):
    (name,) = value
    with pytest.raises(ValueError, match=rf"^{name}=.*must be"):
        SamplingParams(**value)


def test_override_takes_what_is_given_and_ignores_the_rest():
    params = SamplingParams(temperature=0.7, top_k=20)
    changed = params.override({"temperature": 0.0, "top_k": None, "use_grammar": True})
    assert changed == SamplingParams(temperature=0.0, top_k=20)
