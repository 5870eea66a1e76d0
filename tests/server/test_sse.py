"""Server-sent events, byte for byte."""

from __future__ import annotations

import json

from hivellm_lite.server.sse import DONE, event


def test_an_event_is_one_data_line_and_one_empty_line():
    assert event({"a": "é\n\r\n", "b": None}) == 'data: {"a":"é\\n\\r\\n","b":null}\n\n'.encode()
    assert DONE == b"data: [DONE]\n\n"


def test_no_character_of_a_text_can_end_a_line():
    text = "".join(map(chr, [*range(0x100), 0x2028, 0x2029, 0x1F600]))
    sent = event({"text": text}).decode()
    assert sent.endswith("\n\n")
    assert len(sent.splitlines()) == 2
    assert json.loads(sent.removeprefix("data: "))["text"] == text


def test_a_named_event_is_for_the_responses_api():
    assert event({}, name="response.created") == b"event: response.created\ndata: {}\n\n"
