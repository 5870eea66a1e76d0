"""The kinds of SQL question about one table: each function words one and writes its query.

They take ``(rng, words, table)`` and return ``(question, query)``, or ``None`` where the table
does not have what the kind needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.sql_wording import (
    ADJECTIVES,
    COUNTS,
    LIST_THE,
    Condition,
    condition,
    limited,
    plural_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.sql import Table
    from training.vocabulary import Vocabulary


def _the_title(table: Table) -> str:
    return table.title.name if table.title else "*"


def _where(clause: str) -> str:
    return f" WHERE {clause}" if clause else ""


def listing(rng: Random, _words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT name FROM customers."""
    things = table.things
    everything = rng.random() < 0.45
    if everything or not table.title:
        question = rng.choice(
            [
                f"Show everything about the {things}",
                f"Show all columns of the {things}",
                f"Give me all details of all {things}",
                f"Show the whole {things} table",
                f"Show me all the data in {things}",
                f"Return every column for all {things}",
                f"Select everything from {things}",
                f"Dump the {things} table",
            ]
        )
        return question, f"SELECT * FROM {table.name}"
    title = table.title
    question = rng.choice(
        [
            f"List all {things}",
            f"Show all {things}",
            f"Show me all {things}",
            f"Which {things} are there?",
            f"What {things} do we have?",
            f"{rng.choice(LIST_THE)} {plural_words(title)} of all {things}",
            f"{rng.choice(LIST_THE)} {title.words} of every {table.noun}",
            f"What are the {plural_words(title)} of the {things}?",
            f"Give me a list of all {things}",
        ]
    )
    return question, f"SELECT {title.name} FROM {table.name}"


def filtered(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT name FROM customers WHERE city = 'Berlin'."""
    limit = condition(rng, words, table, set())
    if limit is None:
        return None
    query = limit.query
    if rng.random() < 0.15:
        second = condition(rng, words, table, limit.columns)
        if second and not second.before:
            both, joint = rng.choice([("and", "AND")] * 4 + [("or", "OR")])
            after = f"{limit.after} {both} {second.after}".strip() if limit.after else second.after
            if limit.after or joint == "AND":
                query = f"{limit.query} {joint} {second.query}"
                limit = Condition(limit.before, after, query, limit.columns)
    things = limited(table, limit)
    if not table.title or rng.random() < 0.15:
        question = rng.choice(
            [
                f"Show everything about {things}",
                f"Show all columns of {things}",
                f"Give me all details of {things}",
                f"Return every column for {things}",
            ]
        )
        return question, f"SELECT * FROM {table.name} WHERE {query}"
    title = table.title
    question = rng.choice(
        [
            f"List {things}",
            f"Show {things}",
            f"Find {things}",
            f"Show me all {things}",
            f"Find all {things}",
            f"Get the {things}",
            f"Which are the {things}?",
            f"{rng.choice(LIST_THE)} {plural_words(title)} of {things}",
            f"{rng.choice(LIST_THE)} {title.words} of all {things}",
            f"What are the {plural_words(title)} of {things}?",
            f"{things}",
        ]
        + ([f"Which {table.things} are {limit.after}?"] if limit.after.startswith("from ") else [])
    )
    return question, f"SELECT {title.name} FROM {table.name} WHERE {query}"


def ordered(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT name FROM customers ORDER BY age DESC."""
    column = rng.choice(table.of("integer", "real", "date", "title", "text"))
    down = rng.random() < 0.5
    limit = condition(rng, words, table, {column.name}) if rng.random() < 0.1 else None
    things = limited(table, limit)
    by = rng.choice(
        [
            f"sorted by {column.words}",
            f"ordered by {column.words}",
            f"sorted by their {column.words}",
            f"by {column.words}",
        ]
    )
    if column.kind in ("integer", "real"):
        way = rng.choice(
            ["in descending order", "descending", "from highest to lowest", "highest first"]
            if down
            else ["", "in ascending order", "ascending", "from lowest to highest", "lowest first"]
        )
    elif column.kind == "date":
        way = rng.choice(
            ["newest first", "latest first", "in descending order"]
            if down
            else ["oldest first", "earliest first", "in ascending order", ""]
        )
    else:
        way = rng.choice(
            ["in descending order", "from Z to A", "descending"]
            if down
            else ["alphabetically", "from A to Z", "in ascending order", ""]
        )
    question = (
        f"{rng.choice(['List', 'Show', 'Show me', 'Give me', 'List all'])} {things} {by} {way}"
    )
    order = f" ORDER BY {column.name}{' DESC' if down else ''}"
    query = f"SELECT {_the_title(table)} FROM {table.name}{_where(limit.query if limit else '')}"
    return question.strip(), query + order


def top(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT name FROM products ORDER BY price DESC LIMIT 3."""
    numbers = table.of("integer", "real", "date")
    if not numbers:
        return None
    column = rng.choice(numbers)
    down = rng.random() < 0.6
    count = rng.choice([1, 1, 1, *range(2, 11), 15, 20, 50, 100])
    limit = condition(rng, words, table, {column.name}) if rng.random() < 0.1 else None
    number = "" if count == 1 else rng.choice([str(count), COUNTS.get(count, str(count))]) + " "
    things = (
        limited(table, limit)
        if count > 1
        else limited(table, limit).replace(table.things, table.noun, 1)
    )
    verb = "have" if count > 1 else "has"
    be = "are" if count > 1 else "is"
    if column.kind == "date":
        adjective = rng.choice(
            ["latest", "most recent", "newest"] if down else ["earliest", "oldest"]
        )
        at = rng.choice([f"by {column.words}", f"according to {column.words}"])
        question = f"{rng.choice(LIST_THE)} {number}{adjective} {things} {at}"
    elif column.words in ADJECTIVES and rng.random() < 0.6:
        adjective = rng.choice(ADJECTIVES[column.words][0 if down else 1])
        question = rng.choice(
            [
                f"What {'are' if count > 1 else 'is'} the {number}{adjective} {things}?",
                f"{rng.choice(LIST_THE)} {number}{adjective} {things}",
                f"Which {number}{things} {'are' if count > 1 else 'is'} the {adjective}?",
            ]
        )
    else:
        most = rng.choice(
            ["highest", "largest", "greatest", "biggest"] if down else ["lowest", "smallest"]
        )
        forms = [
            f"{rng.choice(LIST_THE)} {number}{things} with the {most} {column.words}",
            f"Which {number}{things} {verb} the {most} {column.words}?",
            f"What {be} the {number}{things} with the {most} {column.words}?",
        ]
        if count > 1:
            rank = "top" if down else "bottom"
            forms += [
                f"{rng.choice(LIST_THE)} {rank} {number}{things} by {column.words}",
                f"{rank.capitalize()} {number}{things} by {column.words}",
            ]
        question = rng.choice(forms)
    direction = " DESC" if down else ""
    where = _where(limit.query if limit else "")
    return question, (
        f"SELECT {_the_title(table)} FROM {table.name}{where}"
        f" ORDER BY {column.name}{direction} LIMIT {count}"
    )


ROW_KINDS: dict[Callable[..., tuple[str, str] | None], int] = {
    listing: 5,
    filtered: 18,
    ordered: 7,
    top: 14,
}
