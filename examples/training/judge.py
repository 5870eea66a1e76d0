"""Is an answer right? Only the standard library is needed.

SQL is run: the expected query and the answer must return the same rows from several seeded
SQLite databases, in the same order if the expected query sorts them. JSON is parsed and compared.
Cypher is compared as text, without regard to white space and quote style.
"""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import TYPE_CHECKING

from training.databases import MAX_DATABASES, Unanswerable, filled, rows_of

if TYPE_CHECKING:
    from training.example import Example

#: How many databases the answers to one question are compared on.
_DATABASES = 3


def _first_statement(text: str) -> str:
    return text.strip().split(";")[0].strip()


def _seeds(example: Example) -> list[int]:
    """Seeds of databases on which the expected query finds something."""
    useful = []
    for seed in range(MAX_DATABASES):
        with closing(filled(example.schema, example.answer, seed)) as database:
            rows = rows_of(database, example.answer)
        if any(value not in (None, 0) for row in rows for value in row):
            useful.append(seed)
        if len(useful) == _DATABASES:
            break
    return useful


def is_sound(expert: str, example: Example) -> bool:
    """Whether the example can be judged: a SQL query must find something."""
    return expert != "sql" or len(_seeds(example)) == _DATABASES


def _same_rows(example: Example, text: str) -> bool:
    query = _first_statement(text)
    ordered = "ORDER BY" in example.answer
    for seed in _seeds(example):
        with closing(filled(example.schema, example.answer, seed)) as database:
            want = rows_of(database, example.answer)
            try:
                got = rows_of(database, query)
            except Unanswerable:
                return False
        if not ordered:
            want, got = sorted(want, key=repr), sorted(got, key=repr)
        if want != got:
            return False
    return True


def _equal(want: object, got: object) -> bool:
    """Equality of parsed JSON; ``True`` is not 1, ``2`` is ``2.0``."""
    if isinstance(want, bool) or isinstance(got, bool):
        return want is got
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(_equal(want[key], got[key]) for key in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(_equal, want, got))
    return want == got


def _same_json(example: Example, text: str) -> bool:
    try:
        got = json.loads(text)
    except ValueError:
        return False
    return _equal(json.loads(example.answer), got)


def _plain_cypher(text: str) -> str:
    return re.sub(r"\s+", " ", _first_statement(text)).replace('"', "'")


def is_right(expert: str, example: Example, text: str) -> bool:
    """Whether ``text`` answers the example as well as the expected answer does."""
    if expert == "sql":
        return _same_rows(example, text)
    if expert == "json":
        return _same_json(example, text)
    return _plain_cypher(example.answer) == _plain_cypher(text)
