"""The kinds of SQL question that count and calculate: each function words one, writes its query.

They take ``(rng, words, table)`` and return ``(question, query)``, or ``None`` where the table
does not have what the kind needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.sql_wording import (
    COUNTS,
    FUNCTIONS,
    LIST_THE,
    condition,
    limited,
    plural_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.sql import Table
    from training.vocabulary import Vocabulary


def _where(clause: str) -> str:
    return f" WHERE {clause}" if clause else ""


def counted(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT COUNT(*) FROM customers WHERE city = 'Berlin'."""
    limit = condition(rng, words, table, set()) if rng.random() < 0.7 else None
    things = limited(table, limit)
    question = rng.choice(
        [
            f"How many {things} are there?",
            f"Count the {things}",
            f"What is the number of {things}?",
            f"How many {things} do we have?",
            f"Number of {things}",
            f"Count all {things}",
            f"Give me the total number of {things}",
            f"How many {things} exist?",
        ]
    )
    return question, f"SELECT COUNT(*) FROM {table.name}{_where(limit.query if limit else '')}"


def aggregated(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT AVG(price) FROM products WHERE category = 'toys'."""
    numbers = table.of("integer", "real")
    if not numbers:
        return None
    column = rng.choice(numbers)
    function = rng.choice(list(FUNCTIONS))
    named = f"{rng.choice(FUNCTIONS[function])} {column.words}"
    limit = condition(rng, words, table, {column.name}) if rng.random() < 0.5 else None
    things = (
        limited(table, limit)
        if limit
        else rng.choice(
            [f"all {table.things}", f"the {table.things}", table.things, f"a {table.noun}"]
            if function == "AVG"
            else [f"all {table.things}", f"the {table.things}", table.things]
        )
    )
    question = rng.choice(
        [
            f"What is the {named} of {things}?",
            f"{rng.choice(LIST_THE)} {named} of {things}",
            f"Calculate the {named} of {things}",
            f"{named} of {things}",
            f"What's the {named} for {things}?",
            f"Compute the {named} across {things}",
        ]
    )
    where = _where(limit.query if limit else "")
    return question, f"SELECT {function}({column.name}) FROM {table.name}{where}"


def grouped(rng: Random, words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT city, COUNT(*) FROM customers GROUP BY city."""
    texts = table.of("text")
    if not texts:
        return None
    group = rng.choice(texts)
    by = rng.choice(
        [
            f"per {group.words}",
            f"for each {group.words}",
            f"by {group.words}",
            f"in each {group.words}",
            f"grouped by {group.words}",
            f"for every {group.words}",
        ]
    )
    numbers = table.of("integer", "real")
    if not numbers or rng.random() < 0.5:
        question = rng.choice(
            [
                f"How many {table.things} are there {by}?",
                f"Count the {table.things} {by}",
                f"Number of {table.things} {by}",
                f"{rng.choice(LIST_THE)} number of {table.things} {by}",
                f"How many {table.things} does each {group.words} have?",
            ]
        )
        return question, f"SELECT {group.name}, COUNT(*) FROM {table.name} GROUP BY {group.name}"
    column = rng.choice(numbers)
    function = rng.choice(["AVG", "SUM", "AVG", "SUM", "MAX", "MIN"])
    named = f"{rng.choice(FUNCTIONS[function])} {column.words}"
    limit = condition(rng, words, table, {column.name, group.name}) if rng.random() < 0.2 else None
    things = f" of {limited(table, limit)}" if limit else rng.choice(["", f" of {table.things}"])
    question = rng.choice(
        [
            f"What is the {named}{things} {by}?",
            f"{rng.choice(LIST_THE)} {named}{things} {by}",
            f"{named}{things} {by}",
            f"Calculate the {named}{things} {by}",
        ]
    )
    where = _where(limit.query if limit else "")
    return question, (
        f"SELECT {group.name}, {function}({column.name}) FROM {table.name}{where}"
        f" GROUP BY {group.name}"
    )


def top_group(rng: Random, _words: Vocabulary, table: Table) -> tuple[str, str] | None:
    """SELECT city FROM customers GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1."""
    texts = table.of("text")
    if not texts:
        return None
    group = rng.choice(texts)
    count = rng.choice([1, 1, 2, 3, 5])
    number = "" if count == 1 else rng.choice([str(count), COUNTS[count]]) + " "
    named = group.words if count == 1 else plural_words(group)
    down = rng.random() < 0.8
    most = "most" if down else "fewest"
    question = rng.choice(
        [
            f"Which {number}{named} {'has' if count == 1 else 'have'} the {most} {table.things}?",
            f"{rng.choice(LIST_THE)} {number}{named} with the {most} {table.things}",
        ]
    )
    return question, (
        f"SELECT {group.name} FROM {table.name} GROUP BY {group.name}"
        f" ORDER BY COUNT(*){' DESC' if down else ''} LIMIT {count}"
    )


SUMMARY_KINDS: dict[Callable[..., tuple[str, str] | None], int] = {
    counted: 10,
    aggregated: 10,
    grouped: 10,
    top_group: 4,
}
