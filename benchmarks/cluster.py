"""What a fleet on Ray Serve adds to a request, compared with a server that is asked directly.

Usage: ``python -m benchmarks.cluster --base SmolLM2-135M-Instruct.Q4_1.gguf``

Requests alternate between `hivellm-lite serve` and `hivellm-lite serve --ray` with one replica, in
one run. Both processes stay loaded, one request is computed at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from .table import show

EXPERT = Path(__file__).parents[1] / "examples" / "experts" / "sql.expert"

STORY = {
    "model": "sql:0", "messages": [{"role": "user", "content": "Tell a long story."}],
    "temperature": 0, "max_tokens": 64, "grammar": "off",
}  # fmt: skip


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[httpx.Client]:
    """A client of ``hivellm-lite serve`` with these arguments, as soon as it listens."""
    command = [sys.executable, "-m", "hivellm_lite", "serve", *arguments]
    environment = {**os.environ, "RAY_ADDRESS": "local"}  # not a cluster that is here already
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"at (http://\S+)/v1,", line):
                    break
            else:
                raise SystemExit(f"no server: {' '.join(command)}")
            with httpx.Client(base_url=found[1], timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()
            process.wait(60)


def whole(client: httpx.Client) -> float:
    """Milliseconds until an answer of 64 tokens is complete."""
    began = time.perf_counter()
    response = client.post("/v1/chat/completions", json=STORY).raise_for_status()
    taken = 1000 * (time.perf_counter() - began)
    assert response.json()["usage"]["completion_tokens"] == 64
    return taken


def streamed(client: httpx.Client) -> tuple[float, float]:
    """Milliseconds until the first text of such an answer, and until its end."""
    began, first = time.perf_counter(), None
    with client.stream("POST", "/v1/chat/completions", json={**STORY, "stream": True}) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if first is None and line.startswith("data: {"):
                delta = json.loads(line[6:])["choices"][0]["delta"]
                first = time.perf_counter() if delta.get("content") else None
    assert first is not None
    return 1000 * (first - began), 1000 * (time.perf_counter() - began)


def listed(client: httpx.Client) -> float:
    """Milliseconds of a request that computes nothing."""
    began = time.perf_counter()
    client.get("/v1/models").raise_for_status()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True, type=Path)
    parser.add_argument("--n-threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    options = {"base": str(given.base.resolve()), "n-threads": given.n_threads, "device": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "fleet.toml"
        lines = [*(f"{name} = {json.dumps(value)}" for name, value in options.items())]
        lines += [
            "port = 0",
            "[packages]",
            f'sql = "{EXPERT}"',
            "[cluster]",
            "replicas = 1",
        ]
        config.write_text("\n".join(lines))
        named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        with (
            serving(f"sql={EXPERT}", "--port", "0", "--quiet", *named) as server,
            serving("--ray", str(config), "--quiet") as fleet,
        ):
            measured = _measured((server, fleet), given.rounds)
    rows = []
    for name, (direct, through) in measured.items():
        alone, fleets = statistics.median(direct), statistics.median(through)
        added = statistics.median(b - a for a, b in zip(direct, through, strict=True))
        rows.append([name, f"{alone:.1f}", f"{fleets:.1f}", f"{added:+.1f}"])
    show(
        "What a fleet adds to a request",
        ["milliseconds (medians)", "one server", "fleet", "difference"],
        rows,
    )


def _measured(
    clients: tuple[httpx.Client, httpx.Client], rounds: int
) -> dict[str, tuple[list[float], list[float]]]:
    found: dict[str, Any] = {
        name: ([], [])
        for name in ("64 tokens", "first text of a stream", "64 tokens streamed", "list of models")
    }
    for turn in range(rounds + 2):
        for place, client in enumerate(clients):
            taken = (whole(client), *streamed(client), listed(client))
            if turn >= 2:  # the first ones warm up
                for name, value in zip(found, taken, strict=True):
                    found[name][place].append(value)
    return found


if __name__ == "__main__":
    main()
