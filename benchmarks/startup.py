"""Start-up, as whole processes: the import, the help, and a question up to its first token.

Everything is converted and in the page cache, and Python has its compiled files. The time runs
from the start of the process to the first byte of the answer on its output, and to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hivellm_lite import Expert
from hivellm_lite.hardware import physical_cores

from .table import process_environment, process_seconds, show

TOOL = Path(sys.executable).parent / "hivellm-lite"
SQL = Path(__file__).parents[1] / "examples" / "experts" / "sql.expert"

PROMPT = "How many users are there?"
SCHEMA = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, city TEXT)"

HELP_GOAL = 0.120
"""Seconds for the help."""

SMALL_BYTES = 256 << 20
SMALL_GOAL, LARGE_GOAL = 0.35, 0.6
"""Seconds to the first token, on bases up to `SMALL_BYTES` and above. On larger bases what
llama.cpp takes to read the file does not count."""


@dataclass
class Timed:
    """Seconds of several runs of one command."""

    first_byte: list[float]
    end: list[float]


def main(base: Path | None = None, package: Path = SQL, *, runs: int = 11) -> None:
    processes(runs)
    if base is not None:
        first_tokens(base, package, runs)


def processes(runs: int) -> None:
    """Import, help and an empty Python, side by side."""
    commands: Mapping[str, Sequence[str | Path]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import hivellm_lite": [sys.executable, "-c", "import hivellm_lite"],
        "import llama_cpp": [sys.executable, "-c", "import llama_cpp"],
        "hivellm-lite --help": [TOOL, "--help"],
    }
    seconds = process_seconds(*commands.values(), runs=runs)
    medians = {name: statistics.median(s) for name, s in zip(commands, seconds, strict=True)}
    idle = medians["python -c pass"]
    show(
        f"Start-up (median of {runs} whole processes)",
        ("", "ms", "ms above an empty Python"),
        [(name, ms(s), ms(s - idle)) for name, s in medians.items()],
    )
    say("hivellm-lite --help", medians["hivellm-lite --help"], HELP_GOAL)


def first_tokens(base: Path, package: Path, runs: int) -> None:
    """A question on the command line against a script with the class ``Llama``."""
    with Expert.load(package, base=base, device="cpu") as expert:  # converts what is missing
        prompt = expert.tokenize_prompt(PROMPT, schema=SCHEMA)
        adapter = expert.prepared.lora
        plain = not expert.prepared.is_variant and expert.prepared.soft_prompt is None
    given = [str(base), str(adapter or ""), json.dumps(prompt), str(physical_cores())]
    ours = [TOOL, "run", package, PROMPT, "--schema", SCHEMA, "--base", base, "--device", "cpu"]
    commands: dict[str, Sequence[str | Path]] = {"hivellm-lite run": [*ours, "--max-tokens", "8"]}
    if plain:
        peer = [sys.executable, "-m", "benchmarks.startup_peers"]
        commands["a script with llama_cpp.Llama"] = [*peer, "llama", *given]
    timed = {name: Timed([], []) for name in commands}
    alone: list[dict[str, float]] = []
    for turn in range(runs + 1):
        for name, command in commands.items():
            first, end = streamed(command)
            if turn:
                timed[name].first_byte.append(first)
                timed[name].end.append(end)
        if plain and turn:
            done = subprocess.run(
                [*peer, "parts", *given],
                capture_output=True,
                check=True,
                env=process_environment(),
            )
            alone.append(json.loads(done.stdout))
    show(
        f"From the shell to an answer on {base.name} (median of {runs} whole processes)",
        ("", "ms to the first byte", "slowest", "ms to the end of the process"),
        [
            (
                name,
                ms(statistics.median(one.first_byte)),
                ms(max(one.first_byte)),
                ms(statistics.median(one.end)),
            )
            for name, one in timed.items()
        ],
    )
    if alone:
        compare_with_llama_cpp_alone(base, timed["hivellm-lite run"], alone)


def compare_with_llama_cpp_alone(base: Path, ours: Timed, alone: list[dict[str, float]]) -> None:
    medians = {part: statistics.median(one[part] for one in alone) / 1e3 for part in alone[0]}
    show(
        "Of these, llama.cpp alone needs (one process, nothing else in it)",
        ("", "ms"),
        [(part, ms(taken)) for part, taken in medians.items()],
    )
    first = statistics.median(ours.first_byte)
    if base.stat().st_size <= SMALL_BYTES:
        say("first token", first, SMALL_GOAL)
    else:
        reading = medians["read the model"]
        say("first token, beyond reading the file", first - reading, LARGE_GOAL)
    computing = next(taken for part, taken in medians.items() if part.startswith("compute"))
    print(f"  without computing the prompt: {ms(first - computing)} ms to the first token")


def streamed(command: Sequence[str | Path]) -> tuple[float, float]:
    """Seconds until a process writes its first byte, and until it has ended."""
    started = time.perf_counter()
    with subprocess.Popen(
        list(map(os.fspath, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=process_environment(),
    ) as process:
        assert process.stdout is not None
        begins = process.stdout.read(1)
        first = time.perf_counter()
        process.stdout.read()
        _, said = process.communicate()
    ended = time.perf_counter()
    if process.returncode or not begins:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said.decode()}")
    return first - started, ended - started


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f}"


def say(what: str, seconds: float, goal: float) -> None:
    reached = "reached" if seconds < goal else "MISSED"
    print(f"\n  {what}: {ms(seconds)} ms, goal below {ms(goal)} ms: {reached}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="a GGUF file; without one no question is asked")
    parser.add_argument("--package", type=Path, default=SQL)
    parser.add_argument("--runs", type=int, default=11)
    arguments = parser.parse_args()
    main(arguments.base, arguments.package, runs=arguments.runs)
