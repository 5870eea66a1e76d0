"""A fleet on three local nodes: who computes what, and what clients see of a node that is lost."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

from ..server.running import serving
from ..support.paths import EXPERTS
from ..support.waiting import wait_until
from .running import (
    QUESTION,
    Fleet,
    Nodes,
    ask,
    fleet_process,
    ray_environment,
    three_nodes,
    written,
)

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.cpu("an answer of the fleet is that of one server to the last bit"),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install 'hivellm-lite[ray]' (370 MB)",
    ),
]

LOAD = {"n_ctx": 512, "n_threads": 1, "device": "cpu", "adapter_mode": "lora"}
SCALES = {
    "sql-1": 1.0,
    "sql-2": 0.9,
    "sql-3": 0.8,
    "cypher-1": 1.0,
    "cypher-2": 0.9,
    "cypher-3": 0.8,
}


def scaled(name: str, scale: float, folder: Path) -> Path:
    """A copy of an example expert whose adapter is applied at another scale."""
    path = folder / f"{name}.expert"
    source = EXPERTS / f"{name.partition('-')[0]}.expert"
    with tarfile.open(source) as old, tarfile.open(path, "w") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name == "adapter_config.json":
                config = json.loads(data)
                config["lora_alpha"] *= scale
                data = json.dumps(config).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return path


@contextlib.contextmanager
def running(packages: dict[str, Path], base: Path, folder: Path) -> Iterator[tuple[Fleet, Nodes]]:
    config = written(
        folder / "fleet.toml", packages, base=str(base), port=0, cache_dir=str(folder / "cache"),
        **LOAD, cluster={"replicas": 3, "ongoing": 8},
    )  # fmt: skip
    environment = ray_environment(folder)
    with (folder / "nodes.log").open("w") as log, three_nodes(environment, log) as nodes:
        environment["RAY_ADDRESS"] = nodes.address
        with fleet_process(config, environment) as fleet:
            yield fleet, nodes


def test_three_nodes(tmp_path: Path, real_base: Path) -> None:
    packages = {name: scaled(name, scale, tmp_path) for name, scale in SCALES.items()}
    with ExpertManager(base=real_base, cache_dir=tmp_path / "cache", **LOAD) as manager:
        for name, path in packages.items():
            manager.register_expert(name, path)
        app = create_server(manager, ServerOptions())
        with serving(app) as address:
            answers = {name: _text(ask(address, name)) for name in packages}
    with (
        running(packages, real_base, tmp_path) as (fleet, nodes),
        ThreadPoolExecutor(6) as threads,
    ):
        another_command_is_refused(fleet, nodes, tmp_path)
        each_stays_on_few_nodes(fleet, answers, threads)
        pieces_come_as_they_are_computed(fleet, answers)
        a_client_that_leaves_frees_its_slot(fleet)
        a_node_is_lost(fleet, nodes, answers, threads)


def another_command_is_refused(fleet, nodes, folder) -> None:
    environment = {**ray_environment(folder), "RAY_ADDRESS": nodes.address}
    done = subprocess.run(fleet.process.args, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "another command runs the fleet 'hivellm'" in done.stderr


def each_stays_on_few_nodes(fleet, answers, threads) -> None:
    nodes: dict[str, set[str]] = {name: set() for name in answers}
    for turn in range(4):
        asked = threads.map(fleet.ask, answers) if turn else map(fleet.ask, answers)
        for name, response in zip(answers, asked, strict=True):
            assert response.status_code == 200, response.text
            assert _text(response) == answers[name]
            nodes[name].add(_node(response))
    assert max(map(len, nodes.values())) <= 2
    assert len(set.union(*nodes.values())) > 1


def pieces_come_as_they_are_computed(fleet, answers) -> None:
    body = {
        "model": "sql-1", "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0, "max_tokens": 16, "stream": True,
    }  # fmt: skip
    with httpx.stream("POST", f"{fleet.address}/v1/chat/completions", json=body, timeout=60) as got:
        assert got.status_code == 200
        events = [line[6:] for line in got.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    deltas = [json.loads(one)["choices"][0]["delta"].get("content", "") for one in events]
    assert len(deltas) > 4
    assert "".join(deltas) == answers["sql-1"]


LONG = {
    "messages": [{"role": "user", "content": "Tell a long story."}],
    "temperature": 1, "seed": 1, "max_tokens": 400, "grammar": "off",
}  # fmt: skip
"""Asked of an expert at the weight 0, which is the base, but where the expert is."""


def a_client_that_leaves_frees_its_slot(fleet) -> None:
    body = {"model": "cypher-1:0", "stream": True, **LONG}
    with httpx.stream("POST", f"{fleet.address}/v1/chat/completions", json=body, timeout=60) as got:
        assert got.status_code == 200
        chunks = got.iter_raw()  # kept: closing it closes the connection
        next(chunks)
        assert _busy(fleet) == 1
    wait_until(lambda: _busy(fleet) == 0)


def a_node_is_lost(fleet, nodes, answers, threads) -> None:
    head = nodes.command("head")
    places = {name: _node(fleet.ask(name)) for name in answers}
    name, lost = next((name, node) for name, node in places.items() if node != head)
    asked = [threads.submit(fleet.ask, f"{name}:0", **LONG) for _ in range(6)]
    wait_until(lambda: _busy(fleet) == 6)
    assert nodes.command(f"kill {lost}") == "killed"
    for response in [one.result() for one in asked]:
        assert response.status_code == 503, response.text
        assert response.json()["error"]["code"] == "replica_lost"
        assert response.headers["retry-after"] == "1"
    again = list(threads.map(lambda _: fleet.ask(f"{name}:0", **{**LONG, "max_tokens": 8}), asked))
    assert {response.status_code for response in again} == {200}
    for _ in range(2):
        for name, response in zip(answers, threads.map(fleet.ask, answers), strict=True):
            assert response.status_code == 200, response.text
            assert _text(response) == answers[name]
            assert _node(response) != lost


def _text(response: httpx.Response) -> str:
    return response.json()["choices"][0]["message"]["content"]


def _node(response: httpx.Response) -> str:
    """Ray's node that computed an answer."""
    return response.headers["x-hivellm-replica"].partition("/")[0]


def _busy(fleet: Fleet) -> float:
    """Answers that the replicas compute now."""
    return sum(fleet.metric("hivellm_answers").values())
