"""Sixteen questions about one schema: together, and one by one.

Each repetition has a schema that was not seen before, so what the questions share is
computed in every run; how often is part of what is measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from .comparison import Comparison, Goal, Series, medians_ratio
from .peers import Answers, Library, LlamaObject, Peer, Server
from .workload import QUESTIONS, Question, Workload

MAX_TOKENS = 48
PROMPT_TOKENS = (100, 300)
"""About how long a prompt is, its question left out."""

ONE_BY_ONE_GOAL, SERVER_GOAL = 3.5, 1.4
"""How many times as fast as the others a batch shall be."""


def measure(workload: Workload) -> list[Comparison]:
    return [_measure(workload, n_tokens) for n_tokens in PROMPT_TOKENS]


def _measure(workload: Workload, n_tokens: int) -> Comparison:
    adapters = workload.adapters(1)
    packages = {one.name: one.package for one in adapters}
    repetitions = max(2, workload.repetitions // 4)  # one of them takes a minute
    with contextlib.ExitStack() as stack:

        def kept(peer: Library | LlamaObject | Server) -> Peer:
            stack.callback(peer.close)
            return peer

        def one_by_one(peer: Peer) -> Callable[[list[Question]], Answers]:
            return lambda asked: _in_turn(peer, asked)

        ours = Library(workload, packages)
        kept(ours)
        # a context of its own: it must not find what the batch has computed
        own = kept(Library(workload, packages, own_context=True))
        ways: dict[str, Callable[[list[Question]], Answers]] = {
            "hivellm-lite, together": lambda asked: ours.ask_together(asked, MAX_TOKENS),
            "hivellm-lite, one by one": one_by_one(own),
            "Llama, one by one": one_by_one(kept(LlamaObject(workload, adapters, reload=False))),
        }
        if workload.llama_server:
            server = Server(workload, adapters, slots=len(QUESTIONS))
            kept(server)
            single = kept(Server(workload, adapters, slots=1))
            ways["llama-server, together"] = lambda asked: server.ask_together(asked, MAX_TOKENS)
            ways["llama-server, one by one"] = one_by_one(single)
        found: dict[str, list[float]] = {name: [] for name in ways}
        different = dict.fromkeys(ways, 0)
        for turn in range(repetitions + 1):
            schema = workload.long_schema("sql", n_tokens, turn)
            asked = workload.questions("sql", [schema])
            expected: tuple[str, ...] | None = None
            for name, ask in ways.items():
                answers = ask(asked)
                texts = answers.texts
                expected = expected or texts
                if turn:  # the first one warms up
                    found[name].append(answers.seconds)
                    different[name] += sum(a != b for a, b in zip(expected, texts, strict=True))
    together, *others = (tuple(values) for values in found.values())
    goals = [
        Goal("times as fast as one by one", medians_ratio(together, others[0]), ONE_BY_ONE_GOAL,
             at_most=False)
    ]  # fmt: skip
    if workload.llama_server:
        speed = medians_ratio(together, found["llama-server, together"])
        goals.append(
            Goal("times as fast as llama-server's slots", speed, SERVER_GOAL, at_most=False)
        )
    total = repetitions * len(QUESTIONS)
    return Comparison(
        f"{len(QUESTIONS)} questions about a new schema of {n_tokens} tokens, answers of at most "
        f"{MAX_TOKENS} tokens",
        "s",
        tuple(Series(name, tuple(values)) for name, values in found.items()),
        tuple(goals),
        tuple(
            f"{name}: {count} of {total} answers differ from the first way's"
            for name, count in different.items()
            if count
        ),
    )


def _in_turn(peer: Peer, questions: list[Question]) -> Answers:
    answers = [peer.ask(question, MAX_TOKENS) for question in questions]
    return Answers(
        tuple(answer.text.strip() for answer in answers), sum(one.seconds for one in answers)
    )
