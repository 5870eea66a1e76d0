"""The plugin of ``llm``, from its command line and from Python."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Literal

import pytest

llm = pytest.importorskip("llm", reason="needs llm")
pytest.importorskip("llm.parts", reason="needs a newer llm")

from llm.parts import Message, TextPart, ToolResultPart
from pydantic import BaseModel

from hivellm_lite.integrations import llm_plugin
from hivellm_lite.integrations.llm_plugin import models
from hivellm_lite.integrations.llm_plugin.messages import openai_messages

from ..support.paths import EXPERTS
from .conftest import QUESTION, TABLES

pytestmark = pytest.mark.unmeasured  # programs of their own, or a second way to the same code


GREEDY = {"temperature": 0, "seed": 1}


class Plan(BaseModel):
    """What a query reads."""

    table: Literal["users", "orders"]
    n_columns: Literal[1, 2, 3]


CALL_OR_NULL = {"type": "null"}
"""What an answer without calls must be, so that the model calls the tool."""


def weather(city: Literal["Rome", "Oslo"]) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the package, and settings of ``llm``."""
    path = tmp_path_factory.mktemp("llm")
    (path / "sql.expert").symlink_to(EXPERTS / "sql.expert")
    return path


@pytest.fixture
def command(folder, real_base, example_cache):
    """Run ``llm`` there: ``command("-m", "sql.expert", …)``."""
    environment = {
        **os.environ, "LLM_USER_PATH": str(folder), "HIVELLM_BASES": str(real_base.parent),
        "HIVELLM_HOME": str(example_cache), "PYTHONUTF8": "1",
    }  # fmt: skip

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "llm", *arguments], env=environment, cwd=folder,
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip

    return run


@pytest.fixture
def python(sql):
    """The models, blocking and not, on an expert that is loaded already."""
    yield models.ExpertModel("sql.expert", sql), models.AsyncExpertModel("sql.expert", sql)
    models.opened.cache_clear()


class TestCommand:
    def test_it_answers(self, command, alone, real_base):
        ran = command("-m", "sql.expert", "-s", TABLES, "-o", "base", str(real_base), QUESTION)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == alone
        (logged,) = json.loads(command("logs", "--json", "-n", "1").stdout)
        assert logged["output_tokens"] > 0
        assert logged["response_json"]["finish_reason"] == "stop"

    def test_any_package_is_an_option(self, command, real_base):
        path = str(EXPERTS / "sql.expert")
        options = ["-o", "expert", path, "-o", "base", str(real_base), "-o", "schema", TABLES]
        ran = command("-m", "hivellm", *options, "--no-stream", QUESTION)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith("SELECT")

    def test_it_lists_its_models_and_their_options(self, command):
        listed = command("models", "--options").stdout
        assert "sql.expert" in listed
        assert "Tables, fields or labels" in listed
        assert "schema" in listed

    def test_it_tells_what_is_missing(self, command):
        ran = command("-m", "hivellm", QUESTION)
        assert ran.returncode == 1
        assert "-m hivellm -o expert PATH" in ran.stderr

    def test_errors_of_the_library_are_one_message(self, command):
        ran = command("-m", "sql.expert", "-o", "base", "nowhere.gguf", QUESTION)
        assert ran.returncode == 1
        assert "nowhere.gguf" in ran.stderr
        assert "Traceback" not in ran.stderr


class TestPython:
    def test_installed_experts_and_packages_are_models(
        self, tmp_path, monkeypatch, tool, tiny_package
    ):
        assert tool("install", tiny_package("graph"))[0] == 0
        monkeypatch.chdir(tmp_path)
        found = {}
        llm_plugin.register_models(lambda *both: found.update({both[0].model_id: both}))
        assert sorted(found) == ["graph.expert", "hivellm"]
        assert isinstance(found["graph.expert"][1], llm.AsyncModel)

    def test_it_streams(self, python, alone):
        response = python[0].prompt(QUESTION, system=TABLES, **GREEDY)
        pieces = list(response)
        assert len(pieces) > 3
        assert "".join(pieces) == alone
        assert response.usage().output > 0
        assert response.resolved_model == "sql-smollm2@0.1.0"

    def test_coroutines_get_the_same(self, python, alone):
        async def ask():
            response = python[1].prompt(QUESTION, system=TABLES, **GREEDY)
            return [piece async for piece in response]

        pieces = asyncio.run(ask())
        assert len(pieces) > 3
        assert "".join(pieces) == alone

    def test_an_answer_follows_a_schema(self, python):
        response = python[0].prompt(QUESTION, system=TABLES, schema=Plan, **GREEDY)
        assert Plan.model_validate_json(response.text())

    def test_a_conversation_goes_on(self, python, alone):
        conversation = python[0].conversation()
        assert conversation.prompt(QUESTION, system=TABLES, **GREEDY).text() == alone
        assert conversation.prompt("And their names?", **GREEDY).text()

    def test_tools_are_offered_and_their_results_told(self, python):
        asked = {"tools": [weather], "schema": CALL_OR_NULL}
        response = python[0].prompt("Is it nice in Rome?", **asked, **GREEDY)
        assert response.text() == ""
        results = response.execute_tool_calls()
        assert results
        assert results[0].output.startswith("sunny in ")
        assert response.reply("So?", tool_results=results, options=GREEDY).text()

    def test_a_call_that_was_cut_off_is_an_error(self, python):
        asked = {"tools": [weather], "schema": CALL_OR_NULL, "max_tokens": 18}
        with pytest.raises(llm.ModelError, match="ended in a call of weather: length"):
            python[0].prompt("Is it nice in Rome?", **asked, **GREEDY).text()

    def test_an_expert_is_named_once(self, sql):
        model = models.ExpertModel("sql.expert", sql)
        with pytest.raises(ValueError, match=r"sql\.expert: name an expert either with -m"):
            model.prompt(QUESTION, expert="graph").text()

    def test_a_thought_is_an_event_of_its_own(self, python, tmp_path):
        (tmp_path / "thought.gbnf").write_text('root ::= "<think>Hm.</think>yes"')
        grammar = str(tmp_path / "thought.gbnf")
        response = python[0].prompt("Is it?", grammar=grammar, **GREEDY)
        told = [(event.type, event.chunk) for event in response.stream_events()]
        assert ("reasoning", "Hm.") in told
        assert response.text() == "yes"
        assert response.reply("Sure?", options=GREEDY).text()

    def test_a_text_instead_of_a_call_is_told(self, python, alone):
        response = python[0].prompt(QUESTION, system=TABLES, tools=[weather], **GREEDY)
        assert response.text().startswith("SELECT")
        assert response.tool_calls() == []

    def test_results_beside_a_text_are_messages_of_their_own(self):
        result = ToolResultPart(name="weather", output="sunny", tool_call_id="a")
        said = openai_messages([Message("user", [TextPart("So?"), result])])
        assert [one["role"] for one in said] == ["user", "tool"]
        odd = ToolResultPart(name="web", output="", server_executed=True)
        with pytest.raises(ValueError, match="no ToolResultPart"):
            openai_messages([Message("tool", [odd])])

    def test_attachments_are_errors(self, python):
        picture = llm.Attachment(type="image/png", content=b"")
        with pytest.raises(ValueError, match="does not support attachments"):
            python[0].prompt("What is it?", attachments=[picture]).text()
