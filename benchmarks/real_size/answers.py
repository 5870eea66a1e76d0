"""One answer at a time: tokens, another expert's first token, warm prompts of two experts."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..decode import PlainLoop
from ..experts.peers import Library, LlamaObject, Peer, Server, greedy
from ..experts.workload import QUESTIONS, Question
from .case import SCHEMA_PART, Case, Row

N_TOKENS = 32
"""Tokens of an answer."""

LONG_TABLES = 8
"""Tables of the long prompts: some 300 tokens."""

_P = TypeVar("_P", bound=Peer)

RAW, RAW_FLASH = "raw loop", "raw loop, flash attention"
OURS = "hivellm-lite"


def decode(case: Case) -> list[Row]:
    """Milliseconds a token after the first, all ways in turn."""
    adapter = case.adapters(1)[0]
    question = case.questions_of(adapter.name, 1)[0]
    with contextlib.ExitStack() as stack:
        library = _closed(stack, Library(case, case.packages(1)))
        llama = _closed(stack, LlamaObject(case, [adapter], reload=False))

        def ours() -> float:
            answer = library.manager.generate(question.expert, question.prompt, **greedy(N_TOKENS))
            return 1 / answer.tokens_per_second

        ways: dict[str, Callable[[], float]] = {OURS: ours}
        for name, flash in ((RAW, False), (RAW_FLASH, True)):
            loop = PlainLoop(
                case.base, adapter.gguf, flash_attention=flash, extra_buffers=case.repacked
            )
            ways[name] = lambda loop=loop: (  # type: ignore[misc]
                loop.run(list(question.tokens), N_TOKENS) / (N_TOKENS - 1)
            )
        if case.repacked:
            ways["Llama"] = lambda: llama.seconds_a_token(question, N_TOKENS)
        if case.repacked and case.llama_server:
            server = _closed(stack, Server(case, [adapter], slots=1))
            ways["llama-server"] = lambda: server.seconds_a_token(question, N_TOKENS)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(4 if case.quick else 5):
            for name, way in ways.items():
                seconds = way()
                if turn:
                    taken[name].append(seconds)
    ours_taken = taken[OURS]
    return [
        Row(
            name,
            {
                "ms": statistics.median(values) * 1e3,
                # of pairs that were measured one after the other
                "ratio": statistics.median(
                    other / own for own, other in zip(ours_taken, values, strict=True)
                ),
            },
        )
        for name, values in taken.items()
    ]


def swap(case: Case) -> list[Row]:
    """Milliseconds to the first token of another expert and of the same, prompts warm."""
    pair = [case.questions_of(name, 1)[0] for name in case.packages(2)]
    with _peers(case) as peers:
        return [_swaps(peer, pair, 6 if case.quick else 12) for peer in peers]


def _swaps(peer: Peer, pair: list[Question], n_turns: int) -> Row:
    same, other = [], []
    for turn, question in enumerate(itertools.islice(itertools.cycle(pair), n_turns + 2)):
        swapped = peer.ask(question, 1).seconds * 1e3
        again = peer.ask(question, 1).seconds * 1e3
        if turn > 1:  # both prompts were computed once
            other.append(swapped)
            same.append(again)
    more = statistics.median(b - a for a, b in zip(same, other, strict=True))
    return Row(
        peer.name,
        {"same": statistics.median(same), "another": statistics.median(other), "more": more},
    )


def prefixes(case: Case) -> list[Row]:
    """Milliseconds to the first token of two experts in turn, each with a long schema and a
    new question.
    """
    adapters = case.adapters(2)
    schema = "\n".join(SCHEMA_PART.format(n) for n in range(LONG_TABLES))
    asked = [case.questions(one.name, [schema], QUESTIONS[:4]) for one in adapters]
    cold, *warm = zip(*asked, strict=True)
    with _peers(case) as peers:
        found = []
        for peer in peers:
            first = [peer.ask(question, 1).seconds * 1e3 for question in cold]
            later = [peer.ask(one, 1).seconds * 1e3 for questions in warm for one in questions]
            figures = {"tokens": float(len(cold[0].tokens)), "cold": statistics.median(first)}
            found.append(Row(peer.name, {**figures, "warm": statistics.median(later)}))
    return found


@contextlib.contextmanager
def _peers(case: Case) -> Iterator[list[Peer]]:
    """Two experts in each; the others only where they compute with the same weights."""
    adapters = case.adapters(2)
    with contextlib.ExitStack() as stack:
        peers: list[Peer] = [_closed(stack, Library(case, case.packages(2)))]
        if case.peers:
            peers.append(_closed(stack, LlamaObject(case, adapters, reload=False)))
        if case.peers and case.llama_server:
            peers.append(_closed(stack, Server(case, adapters, slots=2, pinned=True)))
        yield peers


def _closed(stack: contextlib.ExitStack, peer: _P) -> _P:
    stack.callback(peer.close)
    return peer
