"""Two experts in turn (A, B, A, B …), each with a long schema of its own and a new question."""

from __future__ import annotations

import contextlib
import itertools

from .comparison import Comparison, Goal, Series, medians_ratio
from .peers import Library, LlamaObject, Peer, Server
from .workload import QUESTIONS, Workload

SCHEMA_TOKENS = 1000
GOAL = 10.0
"""How many times faster than `Llama` the first token shall be."""


def measure(workload: Workload) -> list[Comparison]:
    adapters = workload.adapters(2)
    questions = [
        workload.questions(name, [workload.long_schema(name, SCHEMA_TOKENS)], QUESTIONS)
        for name in ("sql", "cypher")
    ]
    in_turn = itertools.cycle(itertools.chain.from_iterable(zip(*questions, strict=True)))
    with contextlib.ExitStack() as stack:
        peers: list[Peer] = [
            Library(workload, {one.name: one.package for one in adapters}),
            LlamaObject(workload, adapters, reload=False),
            LlamaObject(workload, adapters, reload=True),
        ]
        if workload.llama_server:
            peers.append(Server(workload, adapters, slots=1))
            peers.append(Server(workload, adapters, slots=2))
            peers.append(Server(workload, adapters, slots=2, pinned=True))
        for peer in peers:
            stack.callback(peer.close)
        found: list[list[float]] = [[] for _ in peers]
        for turn, question in zip(range(workload.repetitions + 2), in_turn, strict=False):
            for values, peer in zip(found, peers, strict=True):
                seconds = peer.ask(question, 1).seconds
                if turn >= 2:  # both schemas were computed once
                    values.append(seconds * 1e3)
    lengths = [len(one[0].tokens) for one in questions]
    return [
        Comparison(
            f"First token, A and B in turn, schemas warm, prompts of {lengths[0]} and "
            f"{lengths[1]} tokens",
            "ms",
            tuple(Series(p.name, tuple(v)) for p, v in zip(peers, found, strict=True)),
            (
                Goal(
                    "times faster than Llama with its adapter exchanged",
                    medians_ratio(found[0], found[1]),
                    GOAL,
                    at_most=False,
                ),
            ),
        )
    ]
