"""A file of prompts on three local nodes: answers as on one machine, whatever is lost."""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base

from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ..support.paths import FIXTURES
from ..support.waiting import wait_until
from .running import Nodes, ray_environment, three_nodes

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.cpu("an answer of the cluster is that of one machine to the last bit"),
    pytest.mark.skipif(os.name != "posix", reason="sends signals"),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None,
        reason="Ray is not installed: pip install 'hivellm-lite[ray]' (490 MB)",
    ),
]

SCALES = {"cats": 1.0, "dogs": 0.8, "birds": 0.6, "fish": 0.4}

OF_THE_MACHINE = {
    *("time_to_first_token", "time_in_queue", "prompt_tokens_per_second", "tokens_per_second"),
    *("cached_prompt_tokens", "seed"),
}
"""Fields of a record that differ from run to run: times, what a cache had, and a drawn seed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Experts that differ in the scale of their adapter, and a base whose answers are the same
    whatever is computed beside them, which those of F32 and F16 are not to the last bit.
    """
    path = tmp_path_factory.mktemp("batch")
    convert_base(FIXTURES / "models" / "tiny-llama", path / "base.gguf", quant="q8_0")
    for name, scale in SCALES.items():
        files = adapter_files()
        config = json.loads(files["adapter_config.json"])
        config["lora_alpha"] *= scale
        files["adapter_config.json"] = json.dumps(config).encode()
        routing = {"keywords": [name]}
        manifest = manifest_v2(name=name, routing=routing, capabilities=[])
        files["manifest.json"] = manifest_bytes(manifest)
        write_package(path / f"{name}.expert", files)
    (path / "digits.gbnf").write_text("root ::= [0-9]+")
    return path


class Cluster:
    """Three nodes, and what runs ``hivellm-lite batch`` on them or on this machine alone."""

    def __init__(self, nodes: Nodes, folder: Path, environment: dict[str, str]) -> None:
        self.nodes = nodes
        self.address = nodes.address
        self._folder = folder
        self._environment = environment

    def start(self, source: Path, output: Path, *more: object) -> subprocess.Popen[str]:
        first, *others = (self._folder / f"{name}.expert" for name in SCALES)
        arguments = [
            *("batch", first, source, "-o", output, "--base", self._folder / "base.gguf"),
            *(word for other in others for word in ("--expert", other)),
            *("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 6, *more),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "hivellm_lite", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self._environment, cwd=self._folder,
        )  # fmt: skip

    def workers(self) -> dict[int, str]:
        """The processes that compute, and the node of each."""
        listed = subprocess.run(
            ["ps", "-ww", "-e", "-o", "pid=,ppid=,args="],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        parents = {int(pid): int(parent) for pid, parent, _ in rows}
        texts = {int(pid): text for pid, _, text in rows}
        raylets = {pid: text for pid, text in texts.items() if "raylet/raylet" in text}
        return {
            pid: word.partition("=")[2]
            for pid, text in texts.items()
            if text.startswith("ray::BatchWorker") and self.address in raylets[parents[pid]]
            for word in raylets[parents[pid]].split()
            if word.startswith("--node_id=")
        }


@pytest.fixture(scope="module")
def cluster(folder) -> Iterator[Cluster]:
    environment = ray_environment(folder)
    with (folder / "log").open("w") as log, three_nodes(environment, log) as nodes:
        yield Cluster(nodes, folder, environment)


@pytest.fixture(autouse=True)
def watched() -> Iterator[None]:
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=90)
    assert out == ""  # where Ray prints its own messages
    return process.returncode, err


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def line(index: int) -> object:
    """Most lines name an expert; a few ask in another way, or make no sense."""
    name = list(SCALES)[(index * 7 + index // 13) % 4]
    prompt = f"number {index}"
    kinds: dict[int, object] = {
        10: {"prompt": f"{prompt} of the {name}", "expert": "auto", "id": index},
        20: {"prompt": prompt, "expert": {"cats": 0.5, name: 0.7}},
        30: {"prompt": prompt, "expert": name, "grammar": "digits.gbnf"},
        40: {"prompt": prompt, "expert": "nobody"},
        50: {"messages": [{"role": "user", "content": prompt}], "expert": "base"},
        60: {"promt": prompt},
        70: {"prompt": prompt, "grammar": "missing.gbnf"},
    }
    return kinds.get(index % 100, {"prompt": prompt, "expert": name})


def test_a_cluster_that_is_not_there_is_named(cluster, tmp_path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('"one"\n')
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    code, err = ended(cluster.start(source, output, "--ray", address))
    assert code == 1
    assert err.startswith(f"Error: {address}: no Ray cluster is there: ")


def test_what_was_interrupted_goes_on(cluster, tmp_path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'"number {index}"\n' for index in range(1000)))
    n_before = 0
    for how, expected in (("SIGTERM", (143, "")), ("SIGINT", (130, "Interrupted."))):
        process = cluster.start(source, output, "--ray", cluster.address)
        wait_until(lambda: n_lines(output) > n_before)  # noqa: B023 - called here
        process.send_signal(getattr(signal, how))
        code, err = ended(process)
        assert (code, err.strip()) == expected
        n_before = n_lines(output)
    assert n_before < 1000
    wait_until(lambda: not cluster.workers())
    code, err = ended(cluster.start(source, output, "--ray", cluster.address))
    wanted = f"{1000 - n_before} answered, 0 failed, {n_before} were done before\n"
    assert (code, err) == (0, wanted)
    assert [record["index"] for record in records(output)] == list(range(1000))


def test_a_machine_that_cannot_answer_ends_the_command(cluster, folder, tmp_path) -> None:
    source, output, base = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "base.gguf"))
    source.write_text('"one"\n')
    base.write_bytes((folder / "base.gguf").read_bytes()[:2000])
    code, err = ended(cluster.start(source, output, "--base", base, "--ray", cluster.address))
    assert code == 1
    assert err.startswith(f"Error: {platform.node()}: {base}")
    assert "Traceback" not in err
    assert n_lines(output) == 0
    wait_until(lambda: not cluster.workers())


def test_a_worker_and_a_node_are_lost(cluster, folder, tmp_path) -> None:
    source, here, there = (tmp_path / name for name in ("in.jsonl", "here", "there"))
    source.write_text("".join(f"{json.dumps(line(index))}\n" for index in range(2000)))
    code, err = ended(cluster.start(source, here))
    assert (code, err.splitlines()[-1]) == (1, "1940 answered, 60 failed, 0 were done before")
    process = cluster.start(source, there, "--ray", cluster.address)
    wait_until(lambda: n_lines(there) > 200)
    os.kill(next(iter(cluster.workers())), signal.SIGKILL)
    wait_until(lambda: n_lines(there) > 600)
    head = cluster.nodes.command("head")
    wait_until(lambda: {*cluster.workers().values()} - {head})
    lost = ({*cluster.workers().values()} - {head}).pop()
    assert cluster.nodes.command(f"kill {lost}") == "killed"
    code, err = ended(process)
    assert (code, err.splitlines()[-1]) == (1, "1940 answered, 60 failed, 0 were done before")
    assert len(re.findall(r"Warning: a worker .+ was lost, and \d+ lines are", err)) == 2
    found = records(there)
    assert [record["index"] for record in found] == list(range(2000))
    wanted = sorted(records(here), key=lambda record: record["index"])
    for ours, theirs in zip(found, wanted, strict=True):
        for record in (ours, theirs):
            for name in OF_THE_MACHINE:
                record.pop(name, None)
        assert ours == theirs
    wait_until(lambda: not cluster.workers())
