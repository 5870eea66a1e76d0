"""``hivellm-lite serve --ray`` as a process of its own, and the nodes that it runs on."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import httpx

__all__ = [
    *("QUESTION", "Fleet", "Nodes", "ask", "fleet_process", "ray_environment", "three_nodes"),
    "written",
]

QUESTION = "How many users are there?"


def ask(address: str, model: str, **options: Any) -> httpx.Response:
    body = {
        "model": model, "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0, "max_tokens": 16, **options,
    }  # fmt: skip
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)


def ray_environment(folder: Path) -> dict[str, str]:
    """A cluster of its own: no settings of the user, and nobody is told of it."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **found, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "HOME": str(folder),
        "RAY_ADDRESS": "local", "RAY_worker_niceness": "0",  # beside other tests, 15 is too nice
    }  # fmt: skip


class Nodes:
    """The program `three_nodes`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self.said()

    def command(self, line: str) -> str:
        print(line, file=self._process.stdin, flush=True)
        return self.said()

    def said(self) -> str:
        """What the program says next, between the lines of Ray."""
        for line in self._process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        raise AssertionError("the cluster has ended")


@contextlib.contextmanager
def three_nodes(environment: Mapping[str, str], log: IO[str]) -> Iterator[Nodes]:
    program = [sys.executable, "-m", "tests.cluster.three_nodes"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        env=environment,
    ) as process:  # fmt: skip
        try:
            yield Nodes(process)
        finally:
            process.stdin.close()
            process.wait(60)


class Fleet:
    """A client of ``hivellm-lite serve --ray``, which prints lines for its operator."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._log = log
        threading.Thread(target=self._read, daemon=True).start()
        self.address = re.search(r"at (http://\S+)/v1,", self.line("at http://"))[1]

    def ask(self, model: str, **options: Any) -> httpx.Response:
        return ask(self.address, model, **options)

    def line(self, part: str, seconds: float = 60) -> str:
        """The next line that has a part."""
        while True:
            line = self._lines.get(timeout=seconds)
            if part in line:
                return line
            assert line, f"the fleet has ended; see {self._log}"

    def metric(self, name: str) -> dict[str, float]:
        """A metric of each replica."""
        page = httpx.get(f"{self.address}/metrics", timeout=30).text
        found = re.findall(rf'^{name}\{{replica="(.*?)"\}} (\S+)$', page, re.MULTILINE)
        return {replica: float(value) for replica, value in found}

    def _read(self) -> None:
        with self._log.open("a") as log:
            for line in self.process.stderr:
                print(line, end="", file=log, flush=True)
                self._lines.put(line)
        self._lines.put("")


@contextlib.contextmanager
def fleet_process(config: Path, environment: Mapping[str, str]) -> Iterator[Fleet]:
    """Runs until the block ends, and must end well then."""
    program = [sys.executable, "-m", "hivellm_lite", "serve", "--quiet", "--ray", str(config)]
    with subprocess.Popen(
        program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Fleet(process, config.with_suffix(".log"))
        finally:
            process.terminate()
            assert process.wait(60) == 0


def written(config: Path, packages: Mapping[str, Path], **options: Any) -> Path:
    """A fleet's file; ``cluster`` of the options is the table."""
    cluster = options.pop("cluster", {})
    lines = [
        *(f"{name} = {json.dumps(value)}" for name, value in options.items()),
        "[packages]",
        *(f'"{name}" = "{path}"' for name, path in packages.items()),
        "[cluster]",
        *(f"{name} = {json.dumps(value)}" for name, value in cluster.items()),
    ]
    config.write_text("\n".join(lines) + "\n")
    return config
