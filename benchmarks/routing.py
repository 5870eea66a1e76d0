"""Routing a prompt, against the substring search that the public router does.

::

    python -m benchmarks.routing

Both are measured in turn on the same manifests, 20 keywords and 5 exclude keywords
each, and score every expert. "matching" is how many of them have a keyword in the prompt.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Mapping

from hivellm_lite.manifest.records import BaseModel, Manifest, Routing
from hivellm_lite.routing import Router

from .table import median_ratio, show

COMMON = ("find all", "show", "list")
EXCLUDED = ("tell me about", "definition", "explain", "what is", "why")
QUESTION = "Show total sales per region for customers older than 30, sort by amount and sum them up"
RUNS = 301

Score = Callable[[str], float]


def _experts(count: int, matching: int) -> dict[str, Manifest]:
    """Experts with 20 keywords, some of several words; ``matching`` of them have `COMMON` too."""
    letters = random.Random(7)
    words = ("".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in itertools.count())
    experts = {}
    for number in range(count):
        own = [next(words) for _ in range(16)] + [f"{next(words)} {next(words)}" for _ in range(4)]
        experts[f"expert-{number}"] = Manifest(
            name=f"expert-{number}",
            version="1.0.0",
            schema_version="2.0",
            base=BaseModel("base"),
            raw={},
            capabilities=(f"database:{own[0]}", f"task:{own[1]}", "language:en"),
            routing=Routing(
                (*COMMON, *own[3:]) if number < matching else tuple(own),
                EXCLUDED,
                None,
                0.5 + number / 1000,
            ),
        )
    return experts


def _substrings(experts: Mapping[str, Manifest]) -> Callable[[str], int]:
    def route(prompt: str) -> int:
        lowered = prompt.lower()
        scores = {}
        for name, manifest in experts.items():
            routing = manifest.routing
            score = float(sum(keyword.lower() in lowered for keyword in routing.keywords))
            score -= 2 * sum(keyword.lower() in lowered for keyword in routing.exclude_keywords)
            score *= routing.priority
            values = (capability.split(":")[1] for capability in manifest.capabilities)
            scores[name] = score + 0.5 * sum(value in lowered for value in values)
        best = sorted(scores.items(), key=lambda item: -item[1])
        return sum(score > 0 for _, score in best)

    return route


def _words(experts: Mapping[str, Manifest]) -> Callable[[str], int]:
    router = Router(experts)
    return lambda prompt: sum(score.score > 0 for score in router.route(prompt).scores)


def _timed(route: Callable[[str], int], prompt: str) -> float:
    started = time.perf_counter()
    route(prompt)
    return time.perf_counter() - started


def main() -> None:
    rows = []
    for prompt, described, runs in (
        (QUESTION, "17 words", RUNS),
        (QUESTION + " lorem ipsum dolor" * 5600, "100 kB", 21),
    ):
        for count, matching in ((1, 1), (10, 10), (50, 10), (50, 50)):
            experts = _experts(count, matching)
            ours, theirs = _words(experts), _substrings(experts)
            pairs = [(_timed(ours, prompt), _timed(theirs, prompt)) for _ in range(runs)]
            mine, other = zip(*pairs, strict=True)
            rows.append(
                (
                    described,
                    str(count),
                    str(matching),
                    f"{statistics.median(mine) * 1e6:.0f}",
                    f"{statistics.median(other) * 1e6:.0f}",
                    f"{median_ratio(mine, other):.1f}",
                )
            )
    show(
        f"Routing (median of {RUNS} prompts, 21 of the long one)",
        ("prompt", "experts", "matching", "µs", "µs by substrings", "times as fast"),
        rows,
    )
    started = time.perf_counter()
    Router(_experts(50, 50))
    print(f"\n  building a router of 50 experts: {(time.perf_counter() - started) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
