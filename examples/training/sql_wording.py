"""How people word conditions, superlatives and requests about a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.vocabulary import plural

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from random import Random

    from training.sql import Column, Table
    from training.vocabulary import Vocabulary

LIST_THE = (
    "List the",
    "Show the",
    "Show me the",
    "Give me the",
    "Find the",
    "Get the",
    "Return the",
    "Display the",
    "I want the",
    "Print the",
)
COUNTS = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
}
#: Column → words for its largest and its smallest values.
ADJECTIVES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "price": (("most expensive", "priciest", "costliest"), ("cheapest", "least expensive")),
    "cost": (("most expensive", "costliest"), ("cheapest", "least expensive")),
    "age": (("oldest",), ("youngest",)),
    "height": (("tallest", "highest"), ("shortest", "lowest")),
    "weight": (("heaviest",), ("lightest",)),
    "salary": (("best paid", "highest paid", "top earning"), ("worst paid", "lowest paid")),
    "length": (("longest",), ("shortest",)),
    "duration": (("longest",), ("shortest",)),
    "pages": (("longest",), ("shortest",)),
    "speed": (("fastest", "quickest"), ("slowest",)),
    "area": (("largest", "biggest"), ("smallest",)),
    "size": (("largest", "biggest"), ("smallest",)),
    "capacity": (("largest", "biggest"), ("smallest",)),
    "population": (("most populated", "most populous"), ("least populated",)),
    "temperature": (("hottest", "warmest"), ("coldest",)),
    "rating": (("best rated", "highest rated", "top rated"), ("worst rated", "lowest rated")),
    "year": (("newest", "most recent"), ("oldest",)),
    "distance": (("farthest",), ("nearest", "closest")),
    "power": (("most powerful", "strongest"), ("weakest",)),
    "revenue": (("best selling",), ("worst selling",)),
    "votes": (("most voted",), ("least voted",)),
    "views": (("most viewed",), ("least viewed",)),
}
_COMPARATIVES = {
    "age": ("older than", "younger than"),
    "price": ("more expensive than", "cheaper than"),
    "cost": ("that cost more than", "that cost less than"),
    "salary": ("earning more than", "earning less than"),
    "height": ("taller than", "shorter than"),
    "weight": ("heavier than", "lighter than"),
    "length": ("longer than", "shorter than"),
    "duration": ("longer than", "shorter than"),
    "speed": ("faster than", "slower than"),
    "year": ("after", "before"),
}
#: SQL function → people's words for its result.
FUNCTIONS = {
    "SUM": ("total", "sum of the", "combined", "overall"),
    "AVG": ("average", "mean", "average", "avg"),
    "MAX": ("maximum", "highest", "largest", "greatest"),
    "MIN": ("minimum", "lowest", "smallest", "least"),
}
_PLACES = ("city", "country", "region")
_ATTRIBUTES = ("status", "color", "type", "category", "genre", "nationality", "brand", "priority")
_SIGNS = {
    ">": ("more than", "above", "over", "greater than", "higher than", "bigger than", "exceeding"),
    "<": ("less than", "below", "under", "lower than", "smaller than"),
    ">=": ("at least", "greater than or equal to", "of at least"),
    "<=": ("at most", "less than or equal to", "no more than"),
}


@dataclass(frozen=True)
class Condition:
    """A condition in words, around the plural noun it limits, and in SQL."""

    before: str
    after: str
    query: str
    columns: set[str]


def quoted(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def plural_words(column: Column) -> str:
    """A column's words in the plural."""
    return column.words if column.words.endswith("s") else plural(column.words)


def limited(table: Table, limit: Condition | None) -> str:
    """The table's plural noun, with the condition around it."""
    if limit is None:
        return table.things
    return " ".join(part for part in (limit.before, table.things, limit.after) if part)


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def text_condition(rng: Random, words: Vocabulary, column: Column, name: str) -> Condition:
    """``city = 'Berlin'``, ``LIKE``, ``IN`` or ``!=``."""
    used = {column.name}
    value = words.value(rng, column.words)
    if rng.random() < 0.14 or column.kind == "title":
        letters = value[: rng.randint(1, 4)].strip()
        position = rng.choice(["start", "end", "contain"])
        verb = {
            "start": ("starts with", "begins with"),
            "end": ("ends with", "ends in"),
            "contain": ("contains", "includes"),
        }[position]
        pattern = {"start": f"{letters}%", "end": f"%{letters}", "contain": f"%{letters}%"}
        shown = f"'{letters}'" if rng.random() < 0.3 else letters
        after = f"whose {column.words} {rng.choice(verb)} {shown}"
        return Condition("", after, f"{name} LIKE {quoted(pattern[position])}", used)
    if rng.random() < 0.05:
        other = words.value(rng, column.words)
        if other != value:
            after = rng.choice(
                [
                    f"whose {column.words} is {value} or {other}",
                    f"with {column.words} {value} or {other}",
                ]
            )
            if column.words in _PLACES:
                after = rng.choice([after, f"from {value} or {other}", f"in {value} or {other}"])
            return Condition("", after, f"{name} IN ({quoted(value)}, {quoted(other)})", used)
    if rng.random() < 0.03:
        after = rng.choice(
            [
                f"whose {column.words} is not {value}",
                f"with {_article(column.words)} other than {value}",
            ]
        )
        if column.words in _PLACES:
            after = rng.choice([after, f"not from {value}"])
        return Condition("", after, f"{name} != {quoted(value)}", used)
    query = f"{name} = {quoted(value)}"
    shown = f"'{value}'" if rng.random() < 0.12 else value
    if column.words in _PLACES and rng.random() < 0.75:
        places = ["from {}", "in {}", "located in {}", "based in {}", "living in {}", "from {}"]
        return Condition("", rng.choice(places).format(shown), query, used)
    if column.words in _ATTRIBUTES and rng.random() < 0.4 and shown == value:
        return Condition(value, "", query, used)
    after = rng.choice(
        [
            f"whose {column.words} is {shown}",
            f"with {column.words} {shown}",
            f"where the {column.words} is {shown}",
            f"with the {column.words} {shown}",
            f"that have {shown} as {column.words}",
            f"having {column.words} {shown}",
            f"where {column.words} is {shown}",
            f"with {column.words} = {shown}",
        ]
    )
    return Condition("", after, query, used)


def _number(rng: Random, kind: str) -> str:
    if kind == "real" and rng.random() < 0.35:
        return f"{rng.randint(1, 99)}.{rng.choice([5, 25, 75])}"
    return str(
        rng.choice(
            [
                rng.randint(2, 60),
                rng.randint(2, 30) * 10,
                rng.randint(1, 90) * 100,
                rng.randint(1990, 2024),
            ]
        )
    )


def number_condition(rng: Random, column: Column, name: str) -> Condition:
    """A comparison, an equality or ``BETWEEN``."""
    used = {column.name}
    value = _number(rng, column.kind)
    if rng.random() < 0.18:
        low, high = sorted((value, _number(rng, column.kind)), key=float)
        if low != high:
            after = rng.choice(
                [
                    f"with {_article(column.words)} between {low} and {high}",
                    f"whose {column.words} is between {low} and {high}",
                    f"with {column.words} from {low} to {high}",
                ]
            )
            return Condition("", after, f"{name} BETWEEN {low} AND {high}", used)
    if rng.random() < 0.12:
        after = rng.choice(
            [
                f"with {_article(column.words)} of {value}",
                f"whose {column.words} is {value}",
                f"with {column.words} equal to {value}",
            ]
        )
        return Condition("", after, f"{name} = {value}", used)
    if column.words in _COMPARATIVES and rng.random() < 0.5:
        sign = rng.choice([">", "<"])
        after = f"{_COMPARATIVES[column.words][0 if sign == '>' else 1]} {value}"
        return Condition("", after, f"{name} {sign} {value}", used)
    sign = rng.choices(list(_SIGNS), weights=[4, 3, 1, 1])[0]
    than = rng.choice(_SIGNS[sign])
    forms = [
        f"whose {column.words} is {than} {value}".replace("is of at", "is at"),
        f"where the {column.words} is {than} {value}".replace("is of at", "is at"),
        f"with {_article(column.words)} {than} {value}",
        f"with {column.words} {than} {value}",
    ]
    if column.words.endswith("s") and than in ("more than", "less than", "at least", "over"):
        forms.append(f"with {than} {value} {column.words}")
    return Condition("", rng.choice(forms), f"{name} {sign} {value}", used)


def _date_condition(rng: Random, column: Column, name: str) -> Condition:
    day = f"{rng.randint(2015, 2025)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    sign, than = rng.choice(
        [
            (">", "after"),
            ("<", "before"),
            ("=", "on"),
            (">", "later than"),
            ("<", "earlier than"),
            (">", "since"),
        ]
    )
    after = rng.choice(
        [f"with {_article(column.words)} {than} {day}", f"whose {column.words} is {than} {day}"]
    )
    return Condition("", after.replace("since", "after"), f"{name} {sign} '{day}'", {column.name})


def condition(
    rng: Random,
    words: Vocabulary,
    table: Table,
    avoid: set[str],
    *,
    qualify: AbstractSet[str] = frozenset(),
) -> Condition | None:
    """A condition on one of the table's columns that are not in ``avoid``."""
    able = [
        column
        for column in table.columns
        if column.name not in avoid
        and (column.kind != "title" or rng.random() < 0.3)
        and column.kind != "key"
    ]
    if not able:
        return None
    column = rng.choice(able)
    name = f"{table.name}.{column.name}" if column.name in qualify else column.name
    if column.kind in ("integer", "real"):
        return number_condition(rng, column, name)
    if column.kind == "date":
        return _date_condition(rng, column, name)
    return text_condition(rng, words, column, name)


def as_typed(rng: Random, question: str) -> str:
    """The question as somebody may type it: polite, without a question mark, in lower case."""
    if question.split(" ")[0] in ("List", "Show", "Find", "Get", "Give", "Count", "Calculate"):
        polite = rng.random()
        if polite < 0.06:
            question = f"Please {question[0].lower()}{question[1:]}"
        elif polite < 0.12:
            question = f"Can you {question[0].lower()}{question[1:]}?"
    ending = rng.random()
    if question.endswith("?"):
        question = question[:-1] if ending < 0.15 else question
    elif ending < 0.35:
        question = f"{question}."
    first = question[0]
    first = first.lower() if rng.random() < 0.12 else first.upper()
    return first + question[1:]
