"""Seeded SQLite databases on which two queries are run to see whether they mean the same.

The values are chosen from the expected query's own literals, so that ``>`` and ``>=``, ``=`` and
``LIKE``, or two conditions instead of one find different rows.
"""

from __future__ import annotations

import re
import sqlite3
from random import Random

MAX_DATABASES = 8
_ROWS = 120
#: SQLite virtual-machine instructions before a query is given up.
_MAX_WORK = 5_000_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}

Row = tuple[object, ...]


class Unanswerable(Exception):
    """SQLite refused the query or it ran too long."""


def _word(rng: Random) -> str:
    return "".join(rng.choices(_LETTERS, k=6)).capitalize()


def _date(rng: Random) -> str:
    return f"{rng.randint(2014, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _texts(rng: Random, query: str) -> list[str]:
    """Values for text columns that the query's literals and patterns find, and near misses."""
    found: list[str] = []
    for literal in re.findall(r"'((?:[^']|'')*)'", query):
        value = literal.replace("''", "'")
        if "%" not in value:
            found += [value, value]
            continue
        bare = value.strip("%")
        found += [f"{bare}{_word(rng)}", f"{_word(rng)}{bare}", f"{_word(rng)}{bare}{_word(rng)}"]
    return found


def _numbers(query: str) -> list[float]:
    without_texts = re.sub(r"'(?:[^']|'')*'", "", query)
    without_limit = re.sub(r"LIMIT \d+", "", without_texts)
    return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", without_limit)]


def _number(rng: Random, near: list[float], *, whole: bool) -> float:
    if near and rng.random() < 0.45:
        value = rng.choice(near) + rng.choice([-1, 0, 0, 1])
    else:
        value = rng.uniform(0, 1.6 * max(near, default=1000.0) + 10)
        value = value if whole else round(value, 2)
    return int(value) if whole else value


def _skewed(rng: Random, count: int) -> int:
    """A number from 1 to ``count``, small numbers far more often, so that groups differ in size."""
    return min(count, 1 + int(count * rng.random() ** 2.5))


def filled(schema: str, query: str, seed: int) -> sqlite3.Connection:
    """An in-memory database with the schema's tables, full of rows that ``query`` tells apart."""
    rng = Random(f"{seed} {query}")
    database = sqlite3.connect(":memory:")
    for statement in re.split(r"(?=CREATE TABLE)", schema):
        if statement.strip():
            database.execute(statement.strip().rstrip(";"))
    texts, numbers = _texts(rng, query), _numbers(query)
    dated = bool(re.search(r"'\d{4}-\d\d-\d\d'", query))
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    for table in names:
        columns = list(database.execute(f"PRAGMA table_info({table})"))
        pools = {column[1]: [_word(rng) for _ in range(7)] for column in columns}
        for number in range(1, _ROWS + 1):
            row: list[object] = []
            for position, (_, name, kind, *_rest) in enumerate(columns):
                if name == "id":
                    row.append(number)
                elif name.endswith("_id"):
                    row.append(_skewed(rng, _ROWS // 3))
                elif "DATE" in kind or (
                    "TEXT" in kind and dated and re.search("date|_on|_at", name)
                ):
                    row.append(
                        rng.choice([*texts, _date(rng), _date(rng)]) if dated else _date(rng)
                    )
                elif "TEXT" in kind or "CHAR" in kind:
                    if texts and rng.random() < 0.4:
                        row.append(rng.choice(texts))
                    else:
                        pool = pools[name]
                        row.append(
                            f"{_word(rng)}{number}"
                            if position == 1
                            else pool[_skewed(rng, len(pool)) - 1]
                        )
                else:
                    row.append(_number(rng, numbers, whole="INT" in kind))
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO {table} VALUES ({marks})", row)
    database.commit()
    return database


def rows_of(database: sqlite3.Connection, query: str) -> list[Row]:
    """The rows of a query, which may only read. Raises Unanswerable."""

    def allow(action: int, *_rest: object) -> int:
        return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY

    database.set_authorizer(allow)
    database.set_progress_handler(lambda: 1, _MAX_WORK)
    try:
        found = database.execute(query).fetchall()
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise Unanswerable(str(error)) from error
    finally:
        database.set_progress_handler(None, 0)
    return [
        tuple(round(value, 6) if isinstance(value, float) else value for value in row)
        for row in found
    ]
