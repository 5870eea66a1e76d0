"""Measures how much better the example experts are than their base, through hivellm_lite.

    python examples/evaluate.py --base SmolLM2-135M-Instruct.Q4_1.gguf
    python examples/evaluate.py --base … --expert sql --count 20 --json

Every expert answers held-out questions about tables, labels and fields that its training never
showed. The bare base gets the same prompts. ``training/judge.py`` says what "right" means.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.generators import GENERATORS, held_out
from training.judge import is_right

from hivellm_lite import Expert

if TYPE_CHECKING:
    from training.example import Example

EXPERTS = Path(__file__).parent / "experts"


@dataclass(frozen=True)
class Result:
    """Right answers of one expert and of its base alone."""

    expert: str
    base: str
    questions: int
    base_right: int
    expert_right: int
    seconds_per_answer: float


def _right(
    expert: Expert, name: str, questions: list[Example], *, scale: float, show_wrong: bool
) -> int:
    right = 0
    for example in questions:
        text = expert.generate(example.question, schema=example.schema, adapter_scale=scale).text
        if is_right(name, example, text):
            right += 1
        elif show_wrong:
            print(
                f"[{example.kind}] {example.question}\n  want {example.answer}\n  got  {text}",
                file=sys.stderr,
            )
    return right


def evaluate(name: str, package: Path, base: Path, count: int, *, show_wrong: bool) -> Result:
    """Ask one expert and its base ``count`` held-out questions."""
    questions = held_out(name, count)
    expert = Expert.load(package, base=base)
    began = time.perf_counter()
    expert_right = _right(expert, name, questions, scale=1.0, show_wrong=show_wrong)
    seconds = (time.perf_counter() - began) / count
    base_right = _right(expert, name, questions, scale=0.0, show_wrong=False)
    return Result(name, base.name, count, base_right, expert_right, round(seconds, 3))


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the example experts against their base.")
    parser.add_argument("--base", type=Path, required=True, help="SmolLM2-135M-Instruct as GGUF")
    parser.add_argument(
        "--expert",
        choices=sorted(GENERATORS),
        action="append",
        help="measure only this one (may be repeated)",
    )
    parser.add_argument(
        "--experts", type=Path, default=EXPERTS, metavar="FOLDER", help="where the packages are"
    )
    parser.add_argument("--count", type=int, default=100, help="questions to each (default 100)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--show-wrong", action="store_true", help="print the experts' mistakes")
    options = parser.parse_args()

    results = []
    if not options.json:
        print(f"{'expert':8} {'questions':>9} {'base':>7} {'expert':>7} {'s/answer':>9}")
    for name in options.expert or sorted(GENERATORS):
        result = evaluate(
            name,
            options.experts / f"{name}.expert",
            options.base,
            options.count,
            show_wrong=options.show_wrong,
        )
        results.append(result)
        if not options.json:
            print(
                f"{name:8} {result.questions:>9}"
                f" {result.base_right / result.questions:>7.0%}"
                f" {result.expert_right / result.questions:>7.0%}"
                f" {result.seconds_per_answer:>9.2f}",
                flush=True,
            )
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
