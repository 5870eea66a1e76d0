"""Text to SQL: seeded questions about made-up SQLite schemas.

A question that names no column asks for the table's title (its first text column); "everything",
"all details" and the like ask for ``*``, and so do tables that have no title.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from training.example import Example, weighted
from training.sql_join_questions import JOIN_KINDS
from training.sql_summary_questions import SUMMARY_KINDS
from training.sql_table_questions import ROW_KINDS
from training.sql_wording import as_typed
from training.vocabulary import Vocabulary, plural, snake, vocabulary

if TYPE_CHECKING:
    from training.example import Split


_TABLE_KINDS = ROW_KINDS | SUMMARY_KINDS


@dataclass(frozen=True)
class Column:
    """A column; ``kind`` is title, text, date, integer, real or key."""

    words: str
    kind: str

    @property
    def name(self) -> str:
        return snake(self.words)


@dataclass(frozen=True)
class Table:
    """A table, its columns without ``id``, and the table its foreign key points to."""

    noun: str
    columns: tuple[Column, ...]
    parent: Table | None = None
    by_id: str = "id"

    @property
    def things(self) -> str:
        return plural(self.noun)

    @property
    def name(self) -> str:
        return snake(self.things)

    @property
    def title(self) -> Column | None:
        return next((column for column in self.columns if column.kind == "title"), None)

    @property
    def key(self) -> str:
        return f"{snake(self.parent.noun)}_id" if self.parent else ""

    @property
    def shared(self) -> set[str]:
        """Names of columns that the parent also has: only these are qualified in a join."""
        theirs = {column.name for column in self.parent.columns} if self.parent else set()
        return theirs & {column.name for column in self.columns}

    def of(self, *kinds: str) -> list[Column]:
        """The columns of these kinds."""
        return [column for column in self.columns if column.kind in kinds]


def _columns(rng: Random, words: Vocabulary, *, titled: bool) -> list[Column]:
    texts = sorted({words.text(rng) for _ in range(rng.randint(1, 2))})
    numbers = {words.number(rng) for _ in range(rng.randint(1, 2))} - set(texts)
    columns = [Column(text, "text") for text in texts]
    columns += [
        Column(number, "real" if rng.random() < 0.25 else "integer") for number in sorted(numbers)
    ]
    if rng.random() < 0.12:
        columns.append(Column(rng.choice(words.dates), "date"))
    rng.shuffle(columns)
    if not titled:
        columns.sort(key=lambda column: column.kind == "text")
        return columns
    title = Column(words.title(rng), "title")
    return [title, *(column for column in columns if column.words != title.words)]


def tables(rng: Random, words: Vocabulary, *, joined: bool) -> tuple[Table, ...]:
    """One table, or a parent and its child."""
    noun = words.noun(rng)
    if not joined:
        return (Table(noun, tuple(_columns(rng, words, titled=rng.random() < 0.9))),)
    other = words.noun(rng)
    while other in noun or noun in other:
        other = words.noun(rng)
    parent = Table(noun, tuple(_columns(rng, words, titled=True)))
    columns = _columns(rng, words, titled=rng.random() < 0.55)
    place = rng.choice([0, 1, len(columns)] if columns[0].kind == "title" else [0, len(columns)])
    columns.insert(place, Column(f"{noun} id", "key"))
    return parent, Table(other, tuple(columns), parent)


def create_statements(rng: Random, schema: tuple[Table, ...]) -> str:
    """The schema as text, in one of the ways people write it."""
    integer, text = rng.choice([("INTEGER", "TEXT")] * 3 + [("INT", "VARCHAR(255)")])
    real = rng.choice(["REAL", "REAL", "DECIMAL(10,2)", "FLOAT"])
    date = rng.choice(["TEXT", "DATE"])
    types = {"title": text, "text": text, "date": date, "integer": integer, "real": real}
    references = rng.random() < 0.4
    separator = rng.choice(["\n", "\n", ";\n", "\n\n", "; "])
    lines = rng.random() < 0.15
    key = rng.choice(["id INTEGER PRIMARY KEY"] * 4 + ["id INTEGER"])
    statements = []
    for table in schema:
        parts = [key]
        for column in table.columns:
            if column.kind == "key" and table.parent:
                target = f" REFERENCES {table.parent.name}(id)" if references else ""
                parts.append(f"{column.name} {integer}{target}")
            else:
                parts.append(f"{column.name} {types[column.kind]}")
        body = ",\n  ".join(parts) if lines else ", ".join(parts)
        statements.append(
            f"CREATE TABLE {table.name} (\n  {body}\n)"
            if lines
            else f"CREATE TABLE {table.name} ({body})"
        )
    return separator.join(statements) + (";" if ";" in separator else "")


def examples(split: Split, count: int, seed: int, *, per_schema: int = 1) -> list[Example]:
    """``count`` questions, ``per_schema`` of them in a row about the same schema."""
    rng = Random(f"sql {split} {seed}")
    words = vocabulary(split)
    made: list[Example] = []
    while len(made) < count:
        joined = rng.random() < 0.5
        schema = tables(rng, words, joined=joined)
        text = create_statements(rng, tuple(rng.sample(schema, len(schema))) if joined else schema)
        asked: set[str] = set()
        for _ in range(per_schema * 8):
            if len(asked) == min(per_schema, count - len(made) + len(asked)):
                break
            about_join = joined and rng.random() < 0.7
            kinds = JOIN_KINDS if about_join else _TABLE_KINDS
            kind = weighted(rng, kinds)
            pair = kind(rng, words, schema[1] if about_join else rng.choice(schema))
            if pair is None or pair[1] in asked:
                continue
            asked.add(pair[1])
            question = as_typed(rng, pair[0])
            made.append(Example(text, question, pair[1], kind.__name__.strip("_")))
    return made[:count]
