"""What HTTP, JSON and events add to a request, against calling the library."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..experts.comparison import Comparison, Goal, Series, medians_ratio
from ..experts.peers import Library
from ..experts.workload import PACKAGES, Question, Workload
from .ours import OurServer

MAX_TOKENS = 64
GOAL = 1.03

LONG = Question("sql", "Tell a long story about a river and all the towns on its way.", None, ())


def measure(workload: Workload) -> Comparison:
    """The same answer of 64 tokens, in turn through the library and through both forms of HTTP.

    Each is asked twice in a row, and the second time counts.
    """
    packages = {"sql": PACKAGES["sql"]}
    library, server = Library(workload, packages), OurServer(workload, packages)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        ways: dict[str, Callable[[], str]] = {
            "library": lambda: library.ask(LONG, MAX_TOKENS).text,
            "HTTP, whole": lambda: _whole(connection),
            "HTTP, streamed": lambda: _streamed(connection),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        texts = {name: ask() for name, ask in ways.items()}
        assert len(set(texts.values())) == 1, texts
        cpu = _cpu_seconds(server.process.pid)
        own = time.process_time()
        for _ in range(workload.repetitions):
            for name, ask in ways.items():
                ask()  # not timed: what another process did last must not matter
                started = time.perf_counter()
                ask()
                found[name].append(time.perf_counter() - started)
        used = (_cpu_seconds(server.process.pid) - cpu) / (4 * workload.repetitions)
        library_used = (time.process_time() - own) / (2 * workload.repetitions)
    finally:
        connection.close()
        server.close()
        library.close()
    alone = found["library"]
    return Comparison(
        title=f"One request of {MAX_TOKENS} tokens",
        unit="ms",
        series=tuple(
            Series(name, tuple(1000 * one for one in values)) for name, values in found.items()
        ),
        goals=tuple(
            Goal(f"{name} against the library", medians_ratio(alone, values), GOAL)
            for name, values in found.items()
            if name != "library"
        ),
        notes=(
            f"CPU of a request: server {used * 1000:.0f} ms; library with the clients "
            f"{library_used * 1000:.0f} ms",
            f"median of the differences in turn: {_difference(found):.2f} ms whole, "
            f"{_difference(found, 'HTTP, streamed'):.2f} ms streamed",
        ),
    )


def _difference(found: dict[str, list[float]], name: str = "HTTP, whole") -> float:
    pairs = zip(found["library"], found[name], strict=True)
    return 1000 * statistics.median(theirs - ours for ours, theirs in pairs)


def _post(connection: http.client.HTTPConnection, *, stream: bool) -> http.client.HTTPResponse:
    asked = OurServer.request(LONG, MAX_TOKENS, stream=stream)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", asked["path"], json.dumps(asked["body"]), headers)
    response = connection.getresponse()
    assert response.status == 200
    return response


def _whole(connection: http.client.HTTPConnection) -> str:
    answer: Any = json.loads(_post(connection, stream=False).read())
    text: str = answer["choices"][0]["message"]["content"]
    return text


def _streamed(connection: http.client.HTTPConnection) -> str:
    text = ""
    response = _post(connection, stream=True)
    for line in response:
        if line.startswith(b"data: {"):
            text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
    return text


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
