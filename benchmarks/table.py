"""Plain tables and whole-process timings for the benchmarks."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}\n")
    for row in [header, ["-" * width for width in widths], *rows]:
        print(
            "  " + "  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True))
        )


def process_environment() -> dict[str, str]:
    """The environment of a user, for whom Python keeps its compiled files."""
    return {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process_seconds(*commands: Sequence[str | Path], runs: int = 7) -> list[list[float]]:
    """Wall seconds of whole processes, run in turn (A B A B …) after one warm-up each."""
    seconds: list[list[float]] = [[] for _ in commands]
    environment = {**process_environment(), "OMP_WAIT_POLICY": "PASSIVE"}
    for turn in range(runs + 1):
        for taken, command in zip(seconds, commands, strict=True):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            if turn:
                taken.append(time.perf_counter() - started)
    return seconds


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the pairwise ratios theirs / ours: above 1, we are faster."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
