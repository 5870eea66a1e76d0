"""Many experts on a base of Qwen3-0.6B's size, on a CPU, by quantisation.

::

    python scripts/make_qwen3_shape.py build/qwen3/hf --loras 20
    python -m benchmarks.real_size build/qwen3

Every base is measured with its weights repacked, which is llama.cpp's default, beside a bare
loop, `Llama` and llama-server (those two only decode on the bases after the first, unless
``--peers`` says otherwise). Where repacking changes something, a few figures are also taken
with the weights as stored. Each measurement has a process of its own. The tables end with a
verdict for each goal. It takes about ten minutes on two idle cores, ``--quick`` about five.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hivellm_lite.converters.base import convert_base

from ..experts.child import run_alone
from ..experts.comparison import Goal, readable
from ..experts.peers import find_llama_server
from ..table import show
from . import answers, together
from .case import Case, Row
from .memory import memory

QUANTIZATIONS = ("q8_0", "q4_k_m", "q4_0")
REPACKED = ("q4_0", "q4_k", "iq4")
"""What the names of files begin with whose weights llama.cpp repacks on x86."""

AS_STORED = ("decode", "batches", "memory")
"""What is measured without repacking."""

N_EXPERTS = 20

ALONE: dict[str, Callable[[Case], list[Row]]] = {
    "decode": answers.decode,
    "swap": answers.swap,
    "prefixes": answers.prefixes,
    "batches": together.batches,
    "mixed": together.mixed,
}
PARTS = (*ALONE, "memory")
TITLES = {
    "decode": "One answer, milliseconds a token; how many times as fast hivellm-lite is",
    "swap": "First token, prompts warm, milliseconds",
    "prefixes": "First token of two experts in turn, each with a long schema, milliseconds",
    "batches": "Answers together, tokens a second with prompts",
    "mixed": "Answers to several threads, of one expert and of three, tokens a second",
    "memory": "Memory of 1, 5 and 20 experts, MB",
}
GOALS = {
    "decode": ("ratio", "speed in times of the raw loop", 0.98, False),
    "swap": ("more", "another expert more than the same, ms", 15.0, True),
    "batches": ("16 to 1", "16 together in times of one by one", 3.0, False),
    "memory": ("5 to 1", "five experts in times of one", 1.05, True),
}
"""For each part: the figure, what it means, its bound, and whether that is the most."""


def main() -> None:
    started = time.monotonic()
    given = _arguments()
    if given.llama_server is None:
        print("llama-server is not on the PATH: left out (--llama-server says where it is)")
    experts = tuple(sorted(given.folder.glob("lora-*.expert")))
    if len(experts) < N_EXPERTS:
        raise SystemExit(
            f"{given.folder} has {len(experts)} packages lora-*.expert of {N_EXPERTS}\n"
            f"Make them: python scripts/make_qwen3_shape.py {given.folder}/hf --loras {N_EXPERTS}"
        )
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    found: dict[str, list[tuple[str, Row]]] = {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as place:
        for case in _cases(given, experts, Path(place)):
            environment = {"HIVELLM_EXTRA_BUFFERS": str(int(case.repacked))}
            for part in given.only or PARTS:
                if not (case.repacked or part in AS_STORED):
                    continue
                if part == "memory":
                    rows = memory(case, environment)
                else:
                    rows = run_alone(ALONE[part], case, **environment)
                found[part] += [(case.name, row) for row in rows]
                print(f"  {time.monotonic() - started:4.0f} s  {case.name}: {part}", flush=True)
    for part, named in found.items():
        if named:
            _show(part, named)
    _judge(found)
    print(f"load average after: {os.getloadavg()[0]:.2f}; {time.monotonic() - started:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with hf/, lora-*.expert and *.gguf, made once")
    parser.add_argument("--quantization", action="append", help="may be repeated")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--llama-server", type=Path, default=find_llama_server())
    parser.add_argument("--repacked-only", action="store_true")
    parser.add_argument("--peers", action="store_true", help="everywhere, which takes longer")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def _cases(given: argparse.Namespace, experts: tuple[Path, ...], place: Path) -> list[Case]:
    cases: list[Case] = []
    for index, quantization in enumerate(given.quantization or QUANTIZATIONS):
        base = given.folder / f"{quantization}.gguf"
        if not base.exists():
            convert_base(given.folder / "hf", base, quant=quantization)
        differs = quantization.startswith(REPACKED) and not given.repacked_only
        cases += (
            Case(
                base=base,
                cache_dir=place / "cache",
                folder=place,
                hugging_face=None,
                llama_server=given.llama_server,
                repetitions=1,
                experts=experts,
                repacked=repacked,
                peers=repacked and (given.peers or index == 0),
                quick=given.quick or not repacked,
            )
            for repacked in ((True, False) if differs else (True,))
        )
    return cases


def _show(part: str, named: list[tuple[str, Row]]) -> None:
    columns = list(dict.fromkeys(figure for _, row in named for figure in row.figures))
    rows = [
        (base, row.way, *(readable(row.figures[c]) if c in row.figures else "" for c in columns))
        for base, row in named
    ]
    show(TITLES[part], ("base", "", *columns), rows)


def _judge(found: dict[str, list[tuple[str, Row]]]) -> None:
    print()
    for part, (figure, text, bound, at_most) in GOALS.items():
        for base, row in found[part]:
            own = answers.RAW if part == "decode" else answers.OURS
            if row.way == own:
                goal = Goal(f"{base}: {text}", row.figures[figure], bound, at_most)
                print(f"  {goal}")


if __name__ == "__main__":
    main()
