"""The kinds of SQL question about two joined tables: each function words one and writes its query.

They take ``(rng, words, child table)`` and return ``(question, query)``, or ``None`` where the
tables do not have what the kind needs.
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
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.sql import Column, Table
    from training.vocabulary import Vocabulary


def _join(child: Table) -> str:
    assert child.parent is not None
    parent = child.parent.name
    return f"FROM {child.name} JOIN {parent} ON {child.key} = {parent}.id"


def _parent_title(child: Table) -> tuple[Table, str]:
    assert child.parent is not None
    assert child.parent.title is not None
    return child.parent, _spelled(child, child.parent, child.parent.title)


def _spelled(child: Table, table: Table, column: Column) -> str:
    """The column's name, after the table's name if both tables have such a column."""
    return f"{table.name}.{column.name}" if column.name in child.shared else column.name


_MADE = ("place", "make", "have", "get", "own", "receive", "have")


def join_count(rng: Random, _words: Vocabulary, child: Table) -> tuple[str, str] | None:
    """SELECT customers.name, COUNT(*) FROM orders JOIN customers … GROUP BY customers.id."""
    parent, title = _parent_title(child)
    verb = rng.choice(_MADE)
    titled, things = parent_words(parent), child.things
    question = rng.choice(
        [
            f"How many {child.things} did each {parent.noun} {verb}?",
            f"How many {child.things} does each {parent.noun} have?",
            f"How many {child.things} does every {parent.noun} {verb}?",
            f"Count the {child.things} of each {parent.noun}",
            f"Count {child.things} per {parent.noun}",
            f"{rng.choice(LIST_THE)} number of {child.things} per {parent.noun}",
            f"{rng.choice(LIST_THE)} number of {child.things} for each {parent.noun}",
            f"How many {child.things} are there per {parent.noun}?",
            f"For each {parent.noun}, how many {child.things} are there?",
            f"{rng.choice(LIST_THE)} {titled} of each {parent.noun} and the number of {things}",
        ]
    )
    return question, f"SELECT {title}, COUNT(*) {_join(child)} GROUP BY {parent.name}.id"


def parent_words(parent: Table) -> str:
    """The words of the parent's title."""
    assert parent.title is not None
    return parent.title.words


def join_aggregate(rng: Random, _words: Vocabulary, child: Table) -> tuple[str, str] | None:
    """SELECT customers.name, SUM(orders.amount) FROM … GROUP BY customers.id."""
    numbers = child.of("integer", "real")
    if not numbers:
        return None
    parent, title = _parent_title(child)
    column = rng.choice(numbers)
    function = rng.choice(["SUM", "SUM", "AVG", "AVG", "MAX", "MIN"])
    named = f"{rng.choice(FUNCTIONS[function])} {column.words}"
    each = rng.choice(
        [
            f"per {parent.noun}",
            f"for each {parent.noun}",
            f"by {parent.noun}",
            f"of each {parent.noun}",
            f"for every {parent.noun}",
        ]
    )
    question = rng.choice(
        [
            f"What is the {named} of {child.things} {each}?",
            f"{named} of {child.things} {each}",
            f"{rng.choice(LIST_THE)} {named} of the {child.things} {each}",
            f"{rng.choice(LIST_THE)} {named} of {child.things} {each}",
            f"For each {parent.noun}, what is the {named} of the {child.things}?",
        ]
    )
    return question, (
        f"SELECT {title}, {function}({_spelled(child, child, column)}) {_join(child)}"
        f" GROUP BY {parent.name}.id"
    )


def join_filter(rng: Random, words: Vocabulary, child: Table) -> tuple[str, str] | None:
    """SELECT orders.amount FROM orders JOIN customers … WHERE customers.city = 'Berlin'."""
    parent, title = _parent_title(child)
    if rng.random() < 0.5:
        value = words.person(rng) if rng.random() < 0.6 else words.invented(rng)
        whose = rng.choice(
            [
                f"of {value}",
                f"of the {parent.noun} {value}",
                f"belonging to {value}",
                f"for {parent.noun} {value}",
            ]
        )
        clause = f"{title} = {quoted(value)}"
        how_many = f"How many {child.things} does {value} have?"
    else:
        limit = condition(rng, words, parent, set(), qualify=child.shared)
        if limit is None:
            return None
        whose = f"{rng.choice(['of', 'belonging to', 'for'])} {limited(parent, limit)}"
        clause = limit.query
        how_many = f"How many {child.things} do {limited(parent, limit)} have?"
    shape = rng.random()
    numbers = child.of("integer", "real")
    if shape < 0.3:
        question = rng.choice(
            [
                how_many,
                f"Count the {child.things} {whose}",
                f"What is the number of {child.things} {whose}?",
                how_many,
            ]
        )
        wanted = "COUNT(*)"
    elif shape < 0.55 and numbers:
        column = rng.choice(numbers)
        function = rng.choice(["SUM", "AVG", "SUM", "MAX", "MIN"])
        named = f"{rng.choice(FUNCTIONS[function])} {column.words}"
        question = rng.choice(
            [
                f"What is the {named} of {child.things} {whose}?",
                f"{rng.choice(LIST_THE)} {named} of the {child.things} {whose}",
            ]
        )
        wanted = f"{function}({_spelled(child, child, column)})"
    else:
        column = child.title or rng.choice(child.of("integer", "real", "text", "date"))
        forms = [
            f"{rng.choice(LIST_THE)} {column.words} of the {child.things} {whose}",
            f"{rng.choice(LIST_THE)} {plural_words(column)} of all {child.things} {whose}",
        ]
        if child.title:
            forms += [
                f"List the {child.things} {whose}",
                f"Show all {child.things} {whose}",
                f"Find {child.things} {whose}",
            ]
        question = rng.choice(forms)
        wanted = _spelled(child, child, column)
    return question, f"SELECT {wanted} {_join(child)} WHERE {clause}"


def join_top(rng: Random, _words: Vocabulary, child: Table) -> tuple[str, str] | None:
    """SELECT customers.name FROM … GROUP BY customers.id ORDER BY COUNT(*) DESC LIMIT 3."""
    parent, title = _parent_title(child)
    count = rng.choice([1, 1, 1, *range(2, 11)])
    number = "" if count == 1 else rng.choice([str(count), COUNTS.get(count, str(count))]) + " "
    things = parent.things if count > 1 else parent.noun
    have = "have" if count > 1 else "has"
    down = rng.random() < 0.8
    numbers = child.of("integer", "real")
    if numbers and rng.random() < 0.4:
        column = rng.choice(numbers)
        value = f"SUM({_spelled(child, child, column)})"
        what = f"the {'highest' if down else 'lowest'} total {column.words} of {child.things}"
    else:
        value = "COUNT(*)"
        what = f"the {'most' if down else rng.choice(['fewest', 'least'])} {child.things}"
    question = rng.choice(
        [
            f"Which {number}{things} {have} {what}?",
            f"{rng.choice(LIST_THE)} {number}{things} with {what}",
            f"What {'are' if count > 1 else 'is'} the {number}{things} with {what}?",
        ]
    )
    direction = " DESC" if down else ""
    return question, (
        f"SELECT {title} {_join(child)} GROUP BY {parent.name}.id"
        f" ORDER BY {value}{direction} LIMIT {count}"
    )


JOIN_KINDS: dict[Callable[..., tuple[str, str] | None], int] = {
    join_count: 10,
    join_aggregate: 8,
    join_filter: 12,
    join_top: 7,
}
