"""Does a model under a grammar write what the grammar describes?

::

    python -m benchmarks.grammar_generation --base SmolLM2.Q4_1.gguf
    python -m benchmarks.grammar_generation --base … --expert sql --grammar my.gbnf

Held-out questions of an example expert, asked of the base alone and of the expert, both
under the grammar. Every answer that ended is judged by the recogniser that follows the
grammar's letter, every answer that was cut off must begin a text of the grammar; JSON is
read by Python as well, and SQL by sqlglot where that is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hivellm_lite import Expert
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.library import load_grammar
from hivellm_lite.inference.results import InferenceResult

from .peft_parity import EXPERTS, questions
from .table import show

QUESTIONS = 20
MAX_TOKENS = 120
GRAMMARS = {"sql": "sql-postgres", "json": "json", "cypher": "cypher"}


@dataclass(frozen=True)
class Tally:
    """Of the answers under one grammar: how they ended, and how many are what they should be."""

    ended: int
    accepted: int
    """Of those that ended."""
    beginnings: int
    """Of those that were cut off: how many begin a text of the grammar."""
    read: int | None
    """Of those that ended: how many a parser of the language reads; None without one."""
    forced: int
    """Tokens, in percent."""
    wrong: tuple[str, ...]
    """Answers that are neither."""


def parser_of(language: str) -> Callable[[str], object] | None:
    """Raises ValueError or sqlglot's kind of it for a text that is not of the language."""
    if language == "json":
        return json.loads
    if language == "sql" and importlib.util.find_spec("sqlglot"):
        import sqlglot

        return lambda text: sqlglot.parse_one(text, read="postgres")
    return None


def reads(parser: Callable[[str], object], text: str) -> bool:
    try:
        parser(text)
    except Exception as error:
        print(f"not read: {text!r}: {error}", file=sys.stderr)
        return False
    return True


def judge(
    results: list[InferenceResult], judge: Recogniser, parser: Callable[[str], object] | None
) -> Tally:
    ended = [result.text for result in results if result.finish_reason == "stop"]
    # a character may be cut, which shows as a replacement character
    cut = [r.text.rstrip("\ufffd") for r in results if r.finish_reason == "length"]
    accepted = [text for text in ended if judge.recognise(text)]
    beginnings = [text for text in cut if judge.valid_prefix(text)]
    n_tokens = sum(result.completion_tokens for result in results)
    return Tally(
        ended=len(ended),
        accepted=len(accepted),
        beginnings=len(beginnings),
        read=None if parser is None else sum(reads(parser, text) for text in ended),
        forced=round(100 * sum(result.forced_tokens for result in results) / n_tokens),
        wrong=tuple(text for text in ended + cut if text not in accepted + beginnings),
    )


def row(name: str, grammar: str, who: str, tally: Tally) -> tuple[str, ...]:
    cut = QUESTIONS - tally.ended
    return (
        name,
        Path(grammar).name,
        who,
        f"{tally.accepted} of {tally.ended}",
        f"{tally.beginnings} of {cut}",
        "" if tally.read is None else f"{tally.read} of {tally.ended}",
        f"{tally.forced} %",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--expert", choices=sorted(GRAMMARS), action="append")
    parser.add_argument("--grammar", help="a name or a file, in place of the expert's own")
    parser.add_argument("--temperature", type=float, default=0.0)
    given = parser.parse_args()
    rows = []
    wrong: list[str] = []
    for name in given.expert or sorted(GRAMMARS):
        grammar = given.grammar or GRAMMARS[name]
        recogniser = Recogniser(load_grammar(grammar))
        asked = [
            {"prompt": question, "schema": schema}
            for question, schema, _ in questions(name)[:QUESTIONS]
        ]
        with Expert.load(
            EXPERTS / f"{name}.expert", base=given.base, adapter_mode="lora"
        ) as expert:
            for who, scale in (("base", 0.0), ("expert", 1.0)):
                results = [
                    result
                    for result in expert.generate_batch(
                        asked,
                        grammar=grammar,
                        adapter_scale=scale,
                        max_tokens=MAX_TOKENS,
                        temperature=given.temperature,
                        seed=1,
                    )
                    if isinstance(result, InferenceResult)
                ]
                tally = judge(results, recogniser, parser_of(name))
                rows.append(row(name, grammar, who, tally))
                wrong += tally.wrong
    show(
        f"{QUESTIONS} answers each, {MAX_TOKENS} tokens at most",
        ("expert", "grammar", "", "ended, accepted", "cut, begin a text", "read", "forced"),
        rows,
    )
    for text in wrong:
        print(f"against the grammar: {text!r}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
