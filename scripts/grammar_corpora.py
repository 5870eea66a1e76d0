"""Functions that the scripts for the corpora of the library's grammars share.

A corpus is a folder ``tests/grammars/<grammar>`` with ``valid.jsonl`` and ``invalid.jsonl``,
one JSON string per line. The judge, a parser of the language that knows nothing of our
grammars, decides which text belongs where. If the judge and the script disagree about a
text, the script stops. Everything is seeded: running a script again changes nothing, unless
its judge has changed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "tests" / "grammars"
TEXTS = Path(__file__).parent / "grammar_texts"

Judge = Callable[[str], bool]
Change = Callable[[str, random.Random], str]


def hand_written(name: str) -> list[str]:
    """The texts in a file: one JSON string per line in ``.jsonl``, or else the lines themselves."""
    lines = (TEXTS / name).read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines] if name.endswith(".jsonl") else lines


def changed_characters(text: str, rng: random.Random) -> str:
    """``text`` with one character removed, doubled, replaced or inserted, or cut short."""
    place = rng.randrange(len(text))
    char = text[place]
    other = rng.choice(text)
    return rng.choice(
        (
            text[:place] + text[place + 1 :],
            text[:place] + char + text[place:],
            text[:place] + other + text[place:],
            text[:place] + other + text[place + 1 :],
            text[:place],
        )
    )


def near_misses(
    texts: list[str], judge: Judge, change: Change, count: int, rng: random.Random
) -> list[str]:
    """Texts that the judge refuses, each one change away from one of ``texts``."""
    found: dict[str, None] = {}
    while len(found) < count:
        text = change(rng.choice(texts), rng)
        if not judge(text):
            found[text] = None
    return list(found)


def write_corpus(grammar: str, judge: Judge, valid: Iterable[str], invalid: Iterable[str]) -> None:
    """Write both files of a grammar. Raises ValueError if the judge disagrees about a text."""
    folder = FOLDER / grammar
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts, expected in (("valid", valid, True), ("invalid", invalid, False)):
        once = list(dict.fromkeys(texts))
        if wrong := [text for text in once if judge(text) != expected]:
            raise ValueError(f"the judge does not take these for {name}: {wrong}")
        lines = [json.dumps(text, ensure_ascii=False) + "\n" for text in once]
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        print(f"{grammar}: {len(once)} {name}")
