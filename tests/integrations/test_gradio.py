"""The page of an expert: what it answers, and that it is served."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import aclosing

import pytest

gr = pytest.importorskip("gradio", reason="needs gradio")

import httpx

from hivellm_lite import Grammar
from hivellm_lite.gradio import _respond

from ..support.paths import ROOT
from .conftest import QUESTION, TABLES, cancelled

(SERVE,) = re.findall(
    r"```python\n(import hivellm_lite\.gradio\n.*?)```",
    (ROOT / "docs" / "integrations.md").read_text("utf-8"),
    re.DOTALL,
)
"""The example of the documentation."""


def shown(expert, generation=None, history=(), schema="", question=QUESTION):
    """What the page shows, one after the other."""

    async def collect():
        found = _respond(expert, generation or {}, question, history, schema)
        return [one async for one in found]

    return asyncio.run(collect())


def test_it_shows_the_answer_so_far(sql):
    texts = shown(sql, schema=TABLES)
    assert len(texts) > 3
    assert all(after.startswith(before) for before, after in itertools.pairwise(texts))
    assert texts[-1] == sql.generate(QUESTION, schema=TABLES).text


def test_a_conversation_goes_on_without_its_thoughts(sql):
    history = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hm.", "metadata": {"title": "Thought"}},
        {"role": "assistant", "content": "Hello", "metadata": None, "options": None},
    ]
    plain = [("user", "Hi"), ("assistant", "Hello"), ("user", QUESTION)]
    messages = [{"role": role, "content": content} for role, content in plain]
    alone = sql.generate(messages=messages, schema=TABLES).text
    assert shown(sql, history=history, schema=TABLES)[-1] == alone


def test_a_thought_is_shown_beside_the_answer(sql):
    grammar = Grammar.parse('root ::= "<think>Hm.</think>yes"')
    thought, answer = shown(sql, {"grammar": grammar})[-1]
    assert (thought["content"], thought["metadata"]) == ("Hm.", {"title": "Thought"})
    assert answer == "yes"


def test_stopping_the_answer_stops_the_decoding(sql):
    endless = {"grammar": Grammar.parse('root ::= "a"+'), "max_tokens": 10_000}

    async def stop():
        async with aclosing(_respond(sql, endless, "Go", [], "")) as found:
            async for _ in found:
                break

    with cancelled(sql):
        asyncio.run(stop())


def test_errors_are_shown_on_the_page(sql):
    with pytest.raises(gr.Error, match="max_tokens=0"):
        shown(sql, {"max_tokens": 0})
    with pytest.raises(gr.Error, match="Did you mean 'temperature'"):
        shown(sql, {"temprature": 0})


def test_the_page_is_served_until_ctrl_c(sql, real_base, example_cache):
    """In a process of its own: Gradio leaves event loops and sockets to the end of its process."""
    alone = sql.generate(QUESTION, schema=TABLES).text
    environment = {**os.environ, "HIVELLM_HOME": str(example_cache), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], cwd=ROOT, env=environment, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            said = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            assert answer_of(found[0]) == alone
            assert "sql-smollm2 0.1.0" in httpx.get(found[0]).text
        finally:
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=60)[0]
    assert "Traceback" not in said
    assert process.returncode == 0


def answer_of(url):
    """What the page gets for the question, with the schema that it begins with."""
    call = f"{url}/gradio_api/call/chat"
    event = httpx.post(call, json={"data": [QUESTION, TABLES]}).json()["event_id"]
    events = httpx.get(f"{call}/{event}", timeout=60).text
    (data,) = re.findall(r"event: complete\ndata: (.*)", events)
    return json.loads(data)[0]
