"""The examples, run as a reader would."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

from .server.running import serving
from .support.paths import EXPERTS, ROOT

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.cpu("a GPU may answer a close question otherwise"),
]

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"


@pytest.fixture
def example(real_base: Path, tmp_path: Path, example_cache: Path):
    """Run an example: ``example("edge", "sql.expert", …, stdin="…")`` is what it prints."""

    def run(name: str, *arguments: object, stdin: str = "", base: bool = True) -> str:
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, arguments)]
        done = subprocess.run(
            [*command, *(["--base", str(real_base)] if base else [])],
            cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=300,
            env={**os.environ, "HIVELLM_HOME": str(example_cache), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_questions_to_a_database_are_answered_with_its_rows(example, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute(USERS)
        database.execute("INSERT INTO users VALUES (1, 'Ann', 'Oslo'), (2, 'Bob', 'Rome')")
    database.close()
    answer = example("text_to_sql", "shop.db", "Which users live in Oslo?")
    assert answer.splitlines()[-1].split("\t").count("Ann") == 1
    assert "Bob" not in answer


def test_a_database_without_a_good_query_is_said(tmp_path, real_base, example_cache):
    with sqlite3.connect(tmp_path / "empty.db") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "text_to_sql.py"), "empty.db", "List the users",
         "--base", str(real_base)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "HIVELLM_HOME": str(example_cache), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "SQLite says: no such table" in done.stderr
    assert done.stderr.endswith("no query of 5 was accepted\n")


def test_an_edge_machine_is_told_what_an_expert_takes(example):
    question = "How many users are there?"
    assert example("edge", EXPERTS / "sql.expert", question).startswith("SELECT COUNT(*)")


def test_a_conversation_goes_to_the_expert_that_fits(example):
    packages = (EXPERTS / "sql.expert", EXPERTS / "cypher.expert")
    said = example("chat", *packages, stdin="Write SQL for all users\n\nWrite Cypher for it\n")
    assert [line.partition(">")[0] for line in said.splitlines()] == ["sql", "cypher"]


def test_the_lines_of_a_file_are_answered(example, tmp_path):
    (tmp_path / "in.txt").write_text("Write SQL that counts the users\n\nWrite Cypher for it\n")
    example("batch", "in.txt", "out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["expert"] for one in answers] == ["sql-smollm2@0.1.0", "cypher-smollm2@0.1.0"]


def test_a_model_calls_a_function(example, real_base, example_cache):
    with ExpertManager(base=real_base, cache_dir=example_cache, n_ctx=1024) as manager:
        manager.load_expert("sql", EXPERTS / "sql.expert")
        with serving(create_server(manager, ServerOptions())) as address:
            said = example("tool_calling", address, "The weather in Oslo?", base=False)
    assert said.startswith("weather {'city': ")
    assert "12 degrees" in said


@pytest.mark.skipif(
    importlib.util.find_spec("fastapi") is None, reason="needs FastAPI: pip install fastapi"
)
@pytest.mark.parametrize(
    ("name", "path", "body", "part"),
    [
        ("rest_one_expert", "/sql", {"question": "List all users", "tables": USERS}, "SELECT"),
        (
            "rest_routing",
            "/ask",
            {"question": "Write SQL for all users", "tables": USERS},
            "SELECT",
        ),
    ],
)
def test_a_rest_api_answers(
    name, path, body, part, real_base, example_cache, monkeypatch: pytest.MonkeyPatch
):
    from fastapi.testclient import TestClient

    monkeypatch.setenv("HIVELLM_MODELS", str(real_base.parent))
    monkeypatch.setenv("HIVELLM_HOME", str(example_cache))
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, f"examples.{name}", raising=False)
    module = importlib.import_module(f"examples.{name}")
    with TestClient(module.app) as client:
        response = client.post(path, json=body)
        assert response.status_code == 200
        assert part in response.text
        assert client.post(path, json={"question": 7}).status_code == 422
