"""How people word conditions on nodes, and relationships as verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.vocabulary import plural

if TYPE_CHECKING:
    from random import Random

    from training.cypher import Node, Property, Relationship
    from training.vocabulary import Vocabulary

_SIGNS = {
    ">": ("more than", "above", "over", "greater than", "higher than"),
    "<": ("less than", "below", "under", "lower than", "smaller than"),
    ">=": ("at least",),
    "<=": ("at most",),
}
FUNCTIONS = {
    "sum": ("total", "sum of the", "combined"),
    "avg": ("average", "mean"),
    "max": ("maximum", "highest", "largest"),
    "min": ("minimum", "lowest", "smallest"),
}
_PLACES = ("city", "country", "region", "province", "habitat")


def literal(value: str) -> str:
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def some_name(rng: Random, words: Vocabulary) -> str:
    return words.person(rng) if rng.random() < 0.5 else words.invented(rng)


def plural_words(one: Property) -> str:
    return one.words if one.words.endswith("s") else plural(one.words)


def condition(
    rng: Random, words: Vocabulary, node: Node, variable: str, avoid: str = ""
) -> tuple[str, str] | None:
    """A condition to say after the node's plural, and its ``WHERE``."""
    able = [one for one in node.properties if one.kind != "title" and one.words != avoid]
    if not able:
        return None
    one = rng.choice(able)
    place = f"{variable}.{one.name}"
    if one.kind == "date":
        day = f"{rng.randint(2015, 2025)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        sign, than = rng.choice([(">", "after"), ("<", "before")])
        return f"with a {one.words} {than} {day}", f"{place} {sign} date('{day}')"
    if one.kind == "text":
        value = words.value(rng, one.words)
        if rng.random() < 0.2:
            operator, said = rng.choice(
                [
                    ("STARTS WITH", "starts with"),
                    ("STARTS WITH", "begins with"),
                    ("CONTAINS", "contains"),
                    ("ENDS WITH", "ends with"),
                ]
            )
            letters = value[: rng.randint(2, 4)].strip()
            return f"whose {one.words} {said} {letters}", f"{place} {operator} {literal(letters)}"
        after = rng.choice(
            [
                f"whose {one.words} is {value}",
                f"with {one.words} {value}",
                f"with the {one.words} {value}",
                f"where the {one.words} is {value}",
            ]
        )
        if one.words in _PLACES and rng.random() < 0.7:
            after = rng.choice([f"from {value}", f"in {value}", f"located in {value}"])
        return after, f"{place} = {literal(value)}"
    value = str(rng.choice([rng.randint(2, 60), rng.randint(2, 90) * 10, rng.randint(1990, 2024)]))
    if one.kind == "real" and rng.random() < 0.3:
        value = f"{rng.randint(1, 99)}.{rng.choice([5, 25])}"
    if rng.random() < 0.12:
        return rng.choice(
            [f"whose {one.words} is {value}", f"with a {one.words} of {value}"]
        ), f"{place} = {value}"
    sign = rng.choices(list(_SIGNS), weights=[4, 3, 1, 1])[0]
    than = rng.choice(_SIGNS[sign])
    if one.words == "age" and sign in "<>":
        return f"{'older' if sign == '>' else 'younger'} than {value}", f"{place} {sign} {value}"
    after = rng.choice(
        [
            f"with a {one.words} {than} {value}",
            f"with {one.words} {than} {value}",
            f"whose {one.words} is {than} {value}",
        ]
    )
    return after, f"{place} {sign} {value}"


def limited(
    rng: Random, words: Vocabulary, node: Node, variable: str, share: float, avoid: str = ""
) -> tuple[str, str]:
    """The node's plural, with a condition in ``share`` of the cases, and its ``WHERE``."""
    limit = condition(rng, words, node, variable, avoid) if rng.random() < share else None
    if limit is None:
        return node.things, ""
    return f"{node.things} {limit[0]}", f" WHERE {limit[1]}"


_IRREGULAR = {
    "bought": "buy",
    "wrote": "write",
    "sent": "send",
    "drives": "drive",
    "manages": "manage",
    "likes": "like",
    "lives": "live",
    "uses": "use",
    "owns": "own",
    "teaches": "teach",
    "produced": "produce",
    "hired": "hire",
    "reserved": "reserve",
    "created": "create",
    "received": "receive",
    "composed": "compose",
    "navigates": "navigate",
    "forged": "forge",
    "besieged": "besiege",
    "rated": "rate",
    "restored": "restore",
    "studied": "study",
    "excavated": "excavate",
}
_STATES = ("located", "born", "assigned", "anchored", "trained")


def verb_phrase(link: Relationship, *, several: bool) -> str:
    """The relationship as a verb: ``works at``, ``work at``, ``is located in``."""
    first, _, rest = link.verb.partition(" ")
    if first in _STATES:
        return f"{'are' if several else 'is'} {link.verb}"
    if several and first.endswith("s"):
        first = first[:-1] if not first.endswith("ches") else first[:-2]
    return f"{first} {rest}".strip()


def base_verb(link: Relationship) -> str | None:
    """The verb after ``did``: ``act in``; None for a verb with ``is``."""
    first, _, rest = link.verb.partition(" ")
    if first in _STATES:
        return None
    if first in _IRREGULAR:
        first = _IRREGULAR[first]
    elif first.endswith("ed"):
        first = first[:-2]
    elif first.endswith("s"):
        first = first[:-1]
    return f"{first} {rest}".strip()
