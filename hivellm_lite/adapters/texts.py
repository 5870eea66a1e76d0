"""Questions and answers on which the effect of an adapter is measured.

They are the package's own, if it has some in ``tests/`` or ``examples/``, or else a small
set of the kinds of text that experts write. The measurement compares distributions at the
positions of the answer, so the answers need not be the expert's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PackageError
from ..package.files import file_in, relative_to_root
from ..package.opening import Package

__all__ = ["BUILT_IN", "MeasuredText", "texts_of"]

FOLDERS = ("tests", "examples")
MAX_FILES = 32
MAX_FILE_BYTES = 64 << 10
MAX_TEXTS = 8
"""Enough for a few hundred positions; more texts would only slow a conversion down."""

MAX_CHARACTERS = 2000
"""The most characters of a question, a schema or an answer."""

_QUESTION = ("prompt", "question", "input", "instruction", "query")
_ANSWER = ("answer", "completion", "expected", "expected_output", "output", "response")
_SCHEMA = ("schema", "context")


@dataclass(frozen=True)
class MeasuredText:
    """A question, an answer, and the schema for the system message; empty if there is none."""

    question: str
    answer: str = ""
    schema: str = ""


BUILT_IN = (
    MeasuredText(
        "Which customers from Berlin ordered more than three times?",
        "SELECT c.name, COUNT(*) AS n FROM customers c JOIN orders o ON o.customer_id = c.id "
        "WHERE c.city = 'Berlin' GROUP BY c.name HAVING COUNT(*) > 3;",
        "CREATE TABLE customers (id INTEGER, name TEXT, city TEXT);\n"
        "CREATE TABLE orders (id INTEGER, customer_id INTEGER);",
    ),
    MeasuredText(
        "Who acted in films that Sofia Coppola directed?",
        "MATCH (a:Person)-[:ACTED_IN]->(f:Film)<-[:DIRECTED]-(d:Person {name: 'Sofia Coppola'}) "
        "RETURN DISTINCT a.name",
    ),
    MeasuredText(
        "Describe the active user Ana Souza, 31, from Lisbon.",
        '{"name": "Ana Souza", "age": 31, "active": true, "roles": ["reader"], '
        '"address": {"city": "Lisbon", "country": "PT"}}',
    ),
    MeasuredText(
        "Write a function that adds the even numbers of a list.",
        "def sum_even(numbers: list[int]) -> int:\n"
        "    return sum(n for n in numbers if n % 2 == 0)\n",
    ),
    MeasuredText(
        "Why does the sea look blue?",
        "Water absorbs red light more strongly than blue light, so the light that comes back "
        "from deep water is mostly blue. The sky reflected in its surface adds to that.",
    ),
)


def texts_of(package: Package) -> tuple[str, tuple[MeasuredText, ...]]:
    """The origin of the texts, in words, and the texts."""
    found: dict[MeasuredText, None] = {}
    for path in _files(package.root):
        for text in _texts_in(path):
            found[text] = None
            if len(found) == MAX_TEXTS:
                return "the package's examples", tuple(found)
    return ("the package's examples", tuple(found)) if found else ("built-in texts", BUILT_IN)


def _files(root: Path) -> Iterator[Path]:
    """The readable files in the folders for examples, in order."""
    count = 0
    for folder in FOLDERS:
        place = root / folder
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.suffix not in (".json", ".jsonl") or count == MAX_FILES:
                continue
            try:
                checked = file_in(root, relative_to_root(path, root))
            except (OSError, PackageError):  # an unreadable file is not an example
                continue
            if checked is not None and checked.stat().st_size <= MAX_FILE_BYTES:
                count += 1
                yield checked


def _texts_in(path: Path) -> Iterator[MeasuredText]:
    """The texts in one object, in a list of objects, or in one object per line."""
    try:
        content = path.read_text("utf-8")
        lines = content.splitlines() if path.suffix == ".jsonl" else [content]
        values = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, RecursionError):
        return
    for value in values:
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict) and (text := _text(entry)) is not None:
                yield text


def _text(entry: Mapping[str, Any]) -> MeasuredText | None:
    def first(names: tuple[str, ...]) -> str:
        values = (entry.get(name) for name in names)
        return next((value for value in values if isinstance(value, str) and value.strip()), "")

    parts = first(_QUESTION), first(_ANSWER), first(_SCHEMA)
    question, answer, schema = (part[:MAX_CHARACTERS] for part in parts)
    return MeasuredText(question, answer, schema) if question else None
