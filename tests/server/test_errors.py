"""Errors in OpenAI's form: status, kind, field, and what stays in the log."""

from __future__ import annotations

import logging

import pytest

from hivellm_lite import (
    ContextLengthError,
    GrammarError,
    InferenceError,
    OutOfMemoryError,
    PackageError,
)
from hivellm_lite.server.errors import APIError, api_error


@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (ContextLengthError("too long"), 400, "context_length_exceeded", "messages"),
        (GrammarError("no rule"), 400, "invalid_grammar", None),
        (OutOfMemoryError("no memory"), 503, "out_of_memory", None),
        (PackageError("/secret/path: gone"), 500, "expert_not_loaded", None),
        (InferenceError("cannot be blended"), 400, "invalid_request", None),
        (ValueError("top_p=0: must be above 0"), 400, "invalid_value", "top_p"),
        (ValueError("messages[0]: role is odd"), 400, "invalid_value", "messages"),
        (TypeError("stop=3: must be a text"), 400, "invalid_value", "stop"),
        (KeyError("x"), 500, "internal_error", None),
        (APIError(418, "tea"), 418, None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_has_its_status_code_and_field(error, status, code, param):
    told = api_error(error)
    assert (told.status, told.code, told.param) == (status, code, param)
    assert set(told.body["error"]) == {"message", "type", "param", "code"}


def test_an_error_while_an_answer_is_computed_is_not_the_clients():
    assert api_error(InferenceError("NaN"), begun=True).status == 500
    assert api_error(ValueError("a defect"), begun=True).status == 500


def test_paths_of_this_machine_reach_the_log_alone(caplog):
    with caplog.at_level(logging.ERROR):
        told = api_error(PackageError("/secret/path: gone"))
    assert "/secret/path" not in told.message
    assert "/secret/path" in caplog.text


def test_a_defect_is_logged_without_its_text_which_may_quote_a_prompt(caplog):
    prompt = "a private question"
    try:
        raise KeyError(prompt)
    except KeyError as error:
        told = api_error(error)
    assert "private" not in told.message + caplog.text
    assert "KeyError" in caplog.text
    assert "test_errors.py" in caplog.text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "invalid_request_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_the_type_follows_from_the_status(status, kind):
    assert APIError(status, "x").body["error"]["type"] == kind
