"""Clients that ask three experts at once, some of which hang up in the middle."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..experts.peers import Library, Server
from ..experts.workload import PACKAGES, QUESTIONS, SCHEMAS, Question, Workload
from ..table import show
from .ours import OurServer

MAX_TOKENS = 64
HANG_UP = 0.1
"""Share of the clients that hang up, after 1 to 10 pieces of text."""

SLOTS = 16
"""Requests that llama-server computes together: as many as ours has streams."""

THROUGHPUT_GOAL = 3.0


@dataclass(frozen=True)
class Load:
    """How much is asked. ``peer_requests``: of llama-server, which takes longer for each.
    ``prompt_tokens``: about how long a prompt is, its question left out; 0 is a schema of one line.
    """

    clients: int
    requests: int
    peer_requests: int
    prompt_tokens: int
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What the clients of one server saw. ``memory``: MB of the process after each quarter."""

    name: str
    seconds: float
    answers: Sequence[dict[str, Any]]
    memory: tuple[int, ...]

    @property
    def kept(self) -> list[dict[str, Any]]:
        """Answers to clients that stayed."""
        return [one for one in self.answers if one["end"] != "hung up"]

    @property
    def per_second(self) -> float:
        return len(self.answers) / self.seconds

    def row(self) -> tuple[str, ...]:
        firsts = sorted(one["first"] for one in self.answers if one["first"] is not None)
        return (
            self.name,
            f"{self.per_second:.2f}",
            f"{sum(one['pieces'] for one in self.answers) / self.seconds:.0f}",
            f"{statistics.median(firsts):.2f}",
            f"{firsts[int(len(firsts) * 0.95)]:.2f}",
            " → ".join(map(str, self.memory)),
        )


def measure(workload: Workload, load: Load) -> None:
    """Print what both servers did with the same load."""
    questions: list[Question] = []
    for name in PACKAGES:
        schema = workload.long_schema(name, load.prompt_tokens) if load.prompt_tokens else ""
        questions += workload.questions(name, [schema or SCHEMAS[name]], QUESTIONS)
    drawn = random.Random(load.seed)
    asked = [drawn.choice(questions) for _ in range(load.requests)]
    hang = [drawn.randint(1, 10) if drawn.random() < HANG_UP else None for _ in asked]
    alone = _alone(workload, questions)
    outcomes = [_ours(workload, load, asked, hang)]
    _check(outcomes[0], asked, alone)
    if workload.llama_server is not None:
        n = load.peer_requests
        outcomes.append(_theirs(workload, load, asked[:n], hang[:n]))
    lengths = [len(one.tokens) for one in questions]
    title = (
        f"{load.clients} clients, {len(PACKAGES)} experts, {load.requests} requests, prompts of "
        f"{min(lengths)} to {max(lengths)} tokens, up to {MAX_TOKENS} answered, "
        f"{HANG_UP:.0%} hang up"
    )
    header = ("", "requests/s", "pieces/s", "first text: median s", "95 %", "MB by quarters")
    show(title, header, [one.row() for one in outcomes])
    if len(outcomes) > 1:
        ratio = outcomes[0].per_second / outcomes[1].per_second
        verdict = "met" if ratio >= THROUGHPUT_GOAL else "MISSED"
        print(f"  goal {verdict}: {ratio:.2f} times its requests/s (shall be ≥ {THROUGHPUT_GOAL})")


def _alone(workload: Workload, questions: Sequence[Question]) -> dict[Question, str]:
    """The answer to each question when nothing else is asked."""
    library = Library(workload, PACKAGES)
    try:
        return {one: library.ask(one, MAX_TOKENS).text for one in questions}
    finally:
        library.close()


def _check(outcome: Outcome, asked: Sequence[Question], alone: dict[Question, str]) -> None:
    """Say how many requests were lost, and how many answers are not those of a lone request."""
    lost = [
        one["end"] for one in outcome.answers if one["end"] not in ("stop", "length", "hung up")
    ]
    wrong = []
    for question, answer in zip(asked, outcome.answers, strict=True):
        expected = alone[question]
        is_right = answer["text"] == expected
        if answer["end"] == "hung up":
            is_right = expected.startswith(answer["text"])
        if not is_right and answer["end"] not in lost:
            wrong.append((question.expert, question.prompt, expected, answer["text"]))
    n_hung_up = len(outcome.answers) - len(outcome.kept)
    print(
        f"\n{len(outcome.answers)} requests: {len(outcome.kept)} kept, {n_hung_up} hung up, "
        f"{len(lost)} lost, {len(wrong)} unlike the same request alone"
    )
    for one in [*lost[:3], *wrong[:3]]:
        print(f"  {one}")


def _ours(
    workload: Workload, load: Load, asked: Sequence[Question], hang: Sequence[int | None]
) -> Outcome:
    server = OurServer(workload, PACKAGES)
    try:
        requests = [OurServer.request(one, MAX_TOKENS) for one in asked]
        return _run("hivellm-lite serve", server, load, requests, hang)
    finally:
        server.close()


def _theirs(
    workload: Workload, load: Load, asked: Sequence[Question], hang: Sequence[int | None]
) -> Outcome:
    server = Server(workload, workload.adapters(), slots=SLOTS)
    try:
        requests = [
            {"path": "/completion", "body": {**server.body(one, MAX_TOKENS), "stream": True}}
            for one in asked
        ]
        return _run(server.name, server, load, requests, hang)
    finally:
        server.close()


def _run(
    name: str,
    server: OurServer | Server,
    load: Load,
    requests: Sequence[dict[str, Any]],
    hang: Sequence[int | None],
) -> Outcome:
    planned = [{**one, "hang_after": n} for one, n in zip(requests, hang, strict=True)]
    plan = {"port": server.port, "clients": load.clients, "requests": planned}
    warm_up = {
        **plan,
        "requests": [{**one, "hang_after": None} for one in requests[: load.clients]],
    }
    _clients(warm_up)
    ended = threading.Event()
    samples: list[tuple[float, int]] = []
    watch = threading.Thread(target=_watch, args=(server.process.pid, ended, samples))
    watch.start()
    try:
        found = _clients(plan)
    finally:
        ended.set()
        watch.join()
    quarters = [samples[len(samples) * n // 4 - 1][1] >> 20 for n in (1, 2, 3, 4)]
    return Outcome(name, found["seconds"], found["outcomes"], tuple(quarters))


def _clients(plan: dict[str, Any]) -> Any:
    command = [sys.executable, "-m", "benchmarks.serving.clients"]
    done = subprocess.run(
        command, input=json.dumps(plan), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def _watch(pid: int, ended: threading.Event, samples: list[tuple[float, int]]) -> None:
    """Note the process's own memory twice a second."""
    while not ended.wait(0.5):
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        samples.append((time.monotonic(), int(pages) * 4096))
