"""Experts that come and go while the server runs."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import httpx
import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.residency import registry as registry_module
from hivellm_lite.server.app import create_app
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

from ..support.waiting import wait_until
from .conftest import OPTIONS

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
CHAT = "/v1/chat/completions"
QUESTION = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "temperature": 0}


@pytest.fixture
def folder(experts, tmp_path) -> Path:
    found = tmp_path / "packages"
    found.mkdir()
    shutil.copy(experts("cypher", adapter="patterns"), found)
    shutil.copy(experts("sql"), tmp_path / "outside.expert")
    (found / "link.expert").symlink_to(tmp_path / "outside.expert")
    (found / "broken.expert").write_bytes(b"no package")
    return found


@pytest.fixture
def own_manager(tiny_base, experts, tmp_path):
    with ExpertManager(base=tiny_base, cache_dir=tmp_path / "cache", **OPTIONS) as made:
        made.load_expert("sql", experts("sql"))
        yield made


@pytest.fixture
def client(own_manager, folder):
    """Asks an application within one event loop: ``await client.post(…)``."""
    app = create_app(own_manager, ServerOptions(allow_loading=folder))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.fixture
def post(client):
    def ask(path, **body):
        async def exchange():
            return await client.post(path, json=body)

        return asyncio.run(exchange())

    return ask


def test_an_expert_is_loaded_asked_and_unloaded(post, own_manager):
    answer = post(LOAD, lora_name="cypher", lora_path="cypher.expert")
    assert answer.status_code == 200
    assert answer.text == "Success: LoRA adapter 'cypher' added successfully."
    assert post(CHAT, model="cypher", **QUESTION).json()["model"] == "cypher"
    assert post(UNLOAD, lora_name="cypher").status_code == 200
    refused = post(CHAT, model="cypher", **QUESTION)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_a_path_inside_the_folder_may_be_written_whole(post, folder):
    path = str(folder / "cypher.expert")
    assert post(LOAD, lora_name="cypher", lora_path=path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "../outside.expert",
        "link.expert",
        "missing.expert",
        "cypher.expert/../../outside.expert",
        "/etc/passwd",
        "",
        ".",
        "a\0b",
        "owner/repository",
    ],
)
def test_what_is_not_in_the_folder_is_not_found(post, path):
    answer = post(LOAD, lora_name="x", lora_path=path)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "lora_path"
    assert "no such package in the folder" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"lora_path": "cypher.expert"}, "lora_name"),
        ({"lora_name": "a:b", "lora_path": "cypher.expert"}, "lora_name"),
        ({"lora_name": "a+b", "lora_path": "cypher.expert"}, "lora_name"),
        ({"lora_name": "auto", "lora_path": "cypher.expert"}, "lora_name"),
        ({"lora_name": "sql", "lora_path": "cypher.expert"}, "lora_name"),
        ({"lora_name": "x"}, "lora_path"),
        ({"lora_name": "x", "lora_path": "broken.expert"}, "lora_path"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_loaded(post, own_manager, body, param):
    answer = post(LOAD, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert [one.name for one in own_manager.list_loaded_experts()] == ["sql"]


def test_unloading_an_unknown_expert_says_so(post):
    assert post(UNLOAD, lora_name="x").status_code == 404


def test_an_expert_that_another_one_requires_stays(post, own_manager, experts):
    constraints = {"load_order": 1, "incompatible_with": [], "requires": ["sql"]}
    own_manager.load_expert("needy", experts("needy", constraints=constraints))
    answer = post(UNLOAD, lora_name="sql")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "expert_required")


def test_it_is_off_unless_it_was_allowed(call):
    for path in (LOAD, UNLOAD):
        answer = call("POST", path, json={"lora_name": "x", "lora_path": "x"})
        assert answer.status_code == 403
        assert "--allow-loading" in answer.json()["error"]["message"]


def test_answers_lists_and_metrics_go_on_while_an_expert_is_loaded(
    own_manager, folder, monkeypatch
):
    reached, release = threading.Event(), threading.Event()
    load = registry_module.load_expert

    def held(path, *args, **kwargs):
        reached.set()
        assert release.wait(60)
        return load(path, *args, **kwargs)

    app = create_server(own_manager, ServerOptions(allow_loading=folder))
    transport = httpx.ASGITransport(app)

    async def exchange():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            before = (await client.post(CHAT, json={"model": "sql", **QUESTION})).json()
            monkeypatch.setattr(registry_module, "load_expert", held)
            body = {"lora_name": "cypher", "lora_path": "cypher.expert"}
            loading = asyncio.create_task(client.post(LOAD, json=body))
            while not reached.is_set():
                await asyncio.sleep(0.01)
            meanwhile = (await client.post(CHAT, json={"model": "sql", **QUESTION})).json()
            for path in ("/v1/models", "/health", "/ready", "/metrics"):
                assert (await client.get(path)).status_code == 200
            assert not loading.done()
            release.set()
            assert (await loading).status_code == 200
            return before, meanwhile

    before, meanwhile = asyncio.run(asyncio.wait_for(exchange(), 120))
    assert before["choices"] == meanwhile["choices"]
    wait_until(lambda: len(own_manager.list_loaded_experts()) == 2)
