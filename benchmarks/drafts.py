"""How many tokens of an answer its prompt foretells, and what drafts of them would gain.

::

    python -m benchmarks.rows --base q8_0.gguf … --json costs.json
    python -m benchmarks.drafts --base SmolLM2.Q4_1.gguf --costs costs.json

The example experts answer held-out questions greedily. Then each answer is replayed: a draft of up
to k tokens is put behind what the next decode computes anyway, tokens that are what the expert
answered are accepted, and the first other one ends the draft. What a grammar forces needs no
logits, with or without drafts. Nothing here depends on time: the gain is the cost of all decodes
without drafts, divided by their cost with drafts, where a decode of n rows costs what
`benchmarks.rows` measured.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from hivellm_lite import Expert
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.batches import generate_tokens
from hivellm_lite.inference.decoding import Request
from hivellm_lite.inference.grammar_constraint import GrammarConstraint

from .peft_parity import EXPERTS, questions
from .table import show

GRAMMARS = {"sql": {"grammar": "sql-postgres"}, "cypher": {"grammar": "cypher"}, "json": {}}
LONGEST = 3
"""Tokens of the text's end that are looked for in the text before."""

SPARE = 16
"""Tokens of a draft, before it is cut to k."""

Cost = Callable[[int], float]
"""Of a decode with so many rows, in decodes of one row."""


@dataclass(frozen=True)
class Answer:
    """``words``: the schema's identifiers as tokens, with a space before and without."""

    prompt: list[int]
    tokens: list[int]
    choices: list[int]
    """Places in ``tokens`` that were chosen; what is between them was forced."""
    legal: Callable[[int, Sequence[int]], int]
    """How many tokens of a draft at a place the grammar allows."""
    words: list[tuple[int, ...]]

    def text(self, place: int) -> list[int]:
        return self.prompt + self.tokens[:place]


Proposer = Callable[[Answer, int], Sequence[int]]
"""The draft of an answer from a place on."""


def ngram(answer: Answer, place: int, *, shortest: int) -> Sequence[int]:
    """What followed the longest end of the text where it stood before, the last time."""
    text = answer.text(place)
    found = _following(text, shortest)
    return text[found[0] : found[0] + SPARE] if found else ()


def agreed(answer: Answer, place: int, *, shortest: int) -> Sequence[int]:
    """What followed the longest end of the text every time, as far as all these places agree."""
    text = answer.text(place)
    found = _following(text, shortest)
    draft: list[int] = []
    while found and len(draft) < SPARE:
        following = {text[start + len(draft)] for start in found if start + len(draft) < len(text)}
        if len(following) != 1:
            break
        draft += following
    return draft


def _following(text: list[int], shortest: int) -> list[int]:
    """The places behind the longest end of ``text`` that stands in it before, the last first."""
    for n in range(LONGEST, shortest - 1, -1):
        end = text[-n:]
        starts = range(len(text) - n - 1, -1, -1)
        if found := [start + n for start in starts if text[start : start + n] == end]:
            return found
    return []


def word(answer: Answer, place: int) -> Sequence[int]:
    """What all the schema's identifiers that the answer may have begun have in common next."""
    text = tuple(answer.text(place))
    for n in range(8, 0, -1):
        rests = {one[n:] for one in answer.words if len(one) > n and one[:n] == text[-n:]}
        if rests:
            columns = takewhile(lambda one: len(set(one)) == 1, zip(*rests, strict=False))
            return [column[0] for column in columns]
    return ()


def word_or(other: Proposer) -> Proposer:
    """The rest of an identifier; between identifiers, what ``other`` proposes."""
    return lambda answer, place: word(answer, place) or other(answer, place)


def foreseen(answer: Answer, place: int, *, least: int) -> Sequence[int]:
    """The longest part of the rest of the answer that stands in the text, which only hindsight
    knows: no copy does better. Nothing if that is less than ``least`` tokens.
    """
    text = answer.text(place)
    best: Sequence[int] = ()
    for start in range(len(text)):
        n = 0
        for ours, theirs in zip(answer.tokens[place:], text[start:], strict=False):
            if ours != theirs:
                break
            n += 1
        if n > len(best):
            best = text[start : start + n]
    return best if len(best) >= least else ()


@dataclass(frozen=True)
class Decode:
    rows: int
    drafted: int
    accepted: int


def replay(answer: Answer, propose: Proposer, most: int) -> Iterator[Decode]:
    """The decodes after the prompt's that give ``answer`` with drafts of at most ``most``."""
    ends = [*answer.choices[1:], len(answer.tokens)]
    after = dict(zip(answer.choices, ends, strict=True))
    computed, place = 0, after[0]
    while place < len(answer.tokens):
        draft = propose(answer, place)[:most] if most else ()
        draft = draft[: answer.legal(place, draft)]
        accepted = 0
        for drafted, token in zip(draft, answer.tokens[place:], strict=False):
            if drafted != token:
                break
            accepted += 1
        yield Decode(place - computed + len(draft), len(draft), accepted)
        computed = place + accepted
        place = after[place]
        while place <= computed and place < len(answer.tokens):
            place = after[place]


def answers(expert: Expert, name: str, count: int, *, grammar: bool) -> list[Answer]:
    asked = questions(name)[:count]
    requests = [
        loaded_of(expert).request(
            question, schema=schema, temperature=0.0, **_grammar(name, schema, wanted=grammar)
        )
        for question, schema, _ in asked
    ]
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(partial(generate_tokens, expert.session), requests))
    return [
        _answer(expert, request, tokens, schema)
        for request, tokens, (_, schema, _) in zip(requests, made, asked, strict=True)
    ]


def _grammar(name: str, schema: str, *, wanted: bool) -> Any:
    if not wanted:
        return {"grammar": "off"}
    return GRAMMARS[name] or {"json_schema": json.loads(schema)}


def _answer(expert: Expert, request: Request, tokens: list[int], schema: str) -> Answer:
    model = expert.session.model
    spellings = {f"{space}{word}" for word in re.findall(r"\w+", schema) for space in ("", " ")}
    words = sorted(tuple(model.tokenize(one, after="text")) for one in spellings)
    if request.constraint is None:
        choices = list(range(len(tokens)))
        return Answer(request.prompt, tokens, choices, lambda _, draft: len(draft), words)
    constraint = request.constraint()
    assert isinstance(constraint, GrammarConstraint)
    choices, configurations, n_forced = [], [], 0
    for place, token in enumerate(tokens):
        configurations.append(constraint._configuration)
        if n_forced:
            n_forced -= 1
        else:
            choices.append(place)
        if not model.is_end(token):
            constraint.accept(token)
            if not n_forced:
                n_forced = len(constraint.forced())

    def legal(place: int, draft: Sequence[int]) -> int:
        configuration = configurations[place]
        for n, token in enumerate(draft):
            following = expert.session.token_masks.step(configuration, token)
            if following is None:
                return n
            configuration = following
        return len(draft)

    return Answer(request.prompt, tokens, choices, legal, words)


def costs_of(path: Path) -> dict[str, Cost]:
    """The costs that `benchmarks.rows` wrote; between two sizes, on the line between them."""
    found: dict[str, Cost] = {}
    for name, points in json.loads(path.read_text()).items():
        sizes = [int(n) for n in points]
        values = list(points.values())
        slope = (values[-1] - values[0]) / (sizes[-1] - sizes[0])

        def cost(n: int, sizes: Any = sizes, values: Any = values, slope: float = slope) -> float:
            beyond = max(0, n - sizes[-1]) * slope
            return float(np.interp(n, sizes, values)) + beyond

        found[name] = cost
    return found


PROPOSERS: dict[str, Proposer] = {
    "1 to 3 tokens alike": partial(ngram, shortest=1),
    "2 or 3 alike": partial(ngram, shortest=2),
    "3 alike": partial(ngram, shortest=3),
    "1 to 3 alike, all places agree": partial(agreed, shortest=1),
    "2 or 3 alike, all places agree": partial(agreed, shortest=2),
    "identifier": word,
    "identifier, or 2 or 3 alike": word_or(partial(ngram, shortest=2)),
    "identifier, or 2 or 3 alike and agreed": word_or(partial(agreed, shortest=2)),
    "best copy, foreseen": partial(foreseen, least=1),
    "best copy of 3 or more, foreseen": partial(foreseen, least=3),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="SmolLM2-135M-Instruct, GGUF")
    parser.add_argument("--costs", type=Path, help="what benchmarks.rows --json wrote")
    parser.add_argument("--count", type=int, default=20, help="questions to each expert")
    parser.add_argument("--most", type=int, nargs="+", default=[*range(1, 9), 12, 15])
    parser.add_argument(
        "--answers",
        type=Path,
        help="instead: lines of JSON with schema, question and answer, as if the SQL expert "
        "had answered so, without a grammar",
    )
    given = parser.parse_args()
    costs: dict[str, Cost] = {"if rows were free": lambda _: 1.0}
    if given.costs:
        costs |= costs_of(given.costs)
    for name in ("sql",) if given.answers else GRAMMARS:
        with Expert.load(
            EXPERTS / f"{name}.expert", base=given.base, adapter_mode="lora"
        ) as expert:
            if given.answers:
                compare(given.answers.name, written(expert, given.answers), costs, given.most)
                continue
            for grammar in (False, True):
                title = f"{name}, {'with its grammar' if grammar else 'free'}"
                made = answers(expert, name, given.count, grammar=grammar)
                compare(title, made, costs, given.most)


def written(expert: Expert, path: Path) -> list[Answer]:
    """The answers of a file, as if the expert had given them."""
    made = []
    for line in path.read_text().splitlines():
        one = json.loads(line)
        request = loaded_of(expert).request(one["question"], schema=one["schema"], grammar="off")
        tokens = expert.session.model.tokenize(one["answer"], after="text")
        made.append(_answer(expert, request, tokens, one["schema"]))
    return made


def compare(title: str, made: list[Answer], costs: dict[str, Cost], most: list[int]) -> None:
    n_tokens = sum(len(one.tokens) for one in made)
    plain = [step for one in made for step in replay(one, word, 0)]
    rows = []
    for name, propose in PROPOSERS.items():
        steps = {k: [step for one in made for step in replay(one, propose, k)] for k in most}
        drafted = [step for step in steps[most[-1]] if step.drafted]
        cells = [f"{n_tokens / len(steps[k]):.2f}" for k in most]
        cells.append(
            f"{sum(one.accepted for one in drafted) / sum(one.drafted for one in drafted):.0%}"
            if drafted
            else ""
        )
        for cost in costs.values():
            before = sum(cost(step.rows) for step in plain)
            gain, k = max((before / sum(cost(step.rows) for step in steps[k]), -k) for k in most)
            cells.append(f"{gain:.2f} ({-k})")
        rows.append((name, *cells))
    prompts = sum(len(one.prompt) for one in made) / len(made)
    show(
        f"{title}: {len(made)} answers, "
        f"{n_tokens / len(made):.0f} tokens after prompts of {prompts:.0f} (means), "
        f"{n_tokens / len(plain):.2f} tokens a decode without drafts",
        ("tokens a decode, gain at best k", *(f"k={k}" for k in most), "accepted", *costs),
        rows,
    )


if __name__ == "__main__":
    main()
