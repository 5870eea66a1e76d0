"""From the call with another expert to its first token, against the same expert again.

*Resident*: the prompts are warm, so one token is computed. *Evicted*: two of three experts
stay in memory and each call asks for the third; its adapter comes back from cached files
and its prompt, a short one, is computed. The same calls with all three in memory say what
of that is the bringing back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from .comparison import Comparison, Goal, Series
from .peers import Library, LlamaObject, Peer, Server
from .workload import Question, Workload

LORA_GOAL, EVICTED_LORA_GOAL, EVICTED_VARIANT_GOAL = 15.0, 50.0, 300.0
"""Milliseconds above the same expert, and for bringing one back."""

MANY = 20
"""Experts on one base, of which two are asked."""

EVICTIONS = 4
"""How many are measured in each repetition: they are short."""

PROMPT_TOKENS = (30, 250)
"""About how long a warm prompt is, its question left out."""


def measure(workload: Workload) -> list[Comparison]:
    variants = dataclasses.replace(workload, base=workload.hugging_face or workload.base)
    exact = {"adapter_mode": "exact", "quantization": "f16"}
    return [
        *(_resident(workload, n_tokens) for n_tokens in PROMPT_TOKENS),
        _many_resident(workload, PROMPT_TOKENS[0]),
        _evicted(workload, "LoRA", EVICTED_LORA_GOAL, {}),
        _evicted(variants, "variant", EVICTED_VARIANT_GOAL, exact),
    ]


def _resident(workload: Workload, n_tokens: int) -> Comparison:
    adapters = workload.adapters(2)
    packages = {one.name: one.package for one in adapters}
    with contextlib.ExitStack() as stack:
        peers: list[Peer] = [Library(workload, packages)]
        peers.append(Library(workload, packages, "hivellm-lite, variants", adapter_mode="exact"))
        peers.append(LlamaObject(workload, adapters, reload=False))
        peers.append(LlamaObject(workload, adapters, reload=True))
        if workload.llama_server:
            peers.append(Server(workload, adapters, slots=1))
            peers.append(Server(workload, adapters, slots=2, pinned=True))
        for peer in peers:
            stack.callback(peer.close)
        return _swaps(
            workload,
            peers,
            n_tokens,
            "experts resident",
            "Llama keeps the last logits: the very same prompt again is not computed at all",
        )


def _many_resident(workload: Workload, n_tokens: int) -> Comparison:
    with contextlib.closing(Library(workload, workload.packages(MANY))) as library:
        return _swaps(
            workload,
            [library],
            n_tokens,
            f"{MANY} experts resident",
            "llama.cpp reserves a graph that is as large as all loaded adapters together",
        )


def _swaps(
    workload: Workload, peers: Sequence[Peer], n_tokens: int, which: str, note: str
) -> Comparison:
    """Two experts in turn, each asked twice; before that the one that was asked last wakes caches
    and threads up, which the other peers had meanwhile.
    """
    first, second = (
        workload.questions(name, [workload.long_schema(name, n_tokens)])[0]
        for name in ("sql", "cypher")
    )
    same: list[list[float]] = [[] for _ in peers]
    other: list[list[float]] = [[] for _ in peers]
    for turn in range(workload.repetitions + 1):
        before, asked = (first, second) if turn % 2 else (second, first)
        for index, peer in enumerate(peers):
            if turn:
                peer.ask(before, 1)
            swapped = _milliseconds(peer, asked)
            again = _milliseconds(peer, asked)
            if turn > 1:  # each expert was asked once, so its prompt is warm
                other[index].append(swapped)
                same[index].append(again)
    series = []
    for peer, again_ms, swapped_ms in zip(peers, same, other, strict=True):
        series.append(Series(f"{peer.name}: the same expert", tuple(again_ms)))
        series.append(Series(f"{peer.name}: another", tuple(swapped_ms)))
    more = [b - a for a, b in zip(same[0], other[0], strict=True)]
    return Comparison(
        f"First token, prompt of {len(first.tokens)} tokens warm, {which}",
        "ms",
        tuple(series),
        (Goal("LoRA, another expert more than the same, ms", statistics.median(more), LORA_GOAL),),
        (note,),
    )


def _evicted(workload: Workload, kind: str, bound: float, options: dict[str, str]) -> Comparison:
    in_memory, _ = _first_tokens(workload, options)
    evicted, loading = _first_tokens(workload, {**options, "max_loaded_experts": 2})
    series = (
        Series("in memory", in_memory),
        Series("evicted", evicted),
        Series("evicted: of that, loading", loading),
    )
    more = series[1].median - series[0].median
    return Comparison(
        f"First token of a {kind} expert on {workload.base.name}, short prompt not seen before",
        "ms",
        series,
        (
            Goal(f"{kind}, evicted more than in memory, ms", more, bound),
            Goal(f"{kind}, loading, ms", series[2].median, bound),
        ),
        (
            "What an evicted expert has computed is gone with it: the few tokens that all these "
            "prompts begin with are computed again",
        ),
    )


def _first_tokens(
    workload: Workload, options: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds to the first token of three experts in turn, and those spent on loading.

    One manager at a time: two of them would share what they load.
    """
    packages = workload.packages(4)
    names = ("sql", "cypher", "sql-3")
    library = Library(workload, {name: packages[name] for name in names}, **options)
    fresh = _fresh_questions(names)
    waited, loading = [], []
    try:
        for _ in range(EVICTIONS * workload.repetitions + len(names)):
            before = library.manager.stats()["experts"]["load_seconds"]
            waited.append(_milliseconds(library, next(fresh)))
            loading.append((library.manager.stats()["experts"]["load_seconds"] - before) * 1e3)
    finally:
        library.close()
    return tuple(waited[len(names) :]), tuple(loading[len(names) :])


def _fresh_questions(names: Sequence[str]) -> Iterator[Question]:
    """The experts in turn, each time with a short prompt that begins as none before did."""
    for number, name in enumerate(itertools.cycle(names), 100):
        yield Question(name, "List all names.", None, (), system=f"{number}")


def _milliseconds(peer: Peer, question: Question) -> float:
    return peer.ask(question, 1).seconds * 1e3
