"""The kinds of Cypher question about nodes: each function words one and writes its query.

They take ``(rng, words, node)`` and return ``(question, query)``, or ``None`` where the graph
does not have what the kind needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.cypher_wording import (
    FUNCTIONS,
    limited,
    plural_words,
)
from training.sql_wording import ADJECTIVES, COUNTS, LIST_THE

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.cypher import Node
    from training.vocabulary import Vocabulary


def nodes(rng: Random, words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Person) WHERE n.age > 30 RETURN n.name."""
    things, where = limited(rng, words, node, "n", 0.75)
    if rng.random() < 0.2:
        question = rng.choice(
            [
                f"Show everything about {things}",
                f"Return the {things} nodes",
                f"Give me all details of {things}",
            ]
        )
        if "nodes" in question:
            question = f"Return all nodes of {things}"
        return question, f"MATCH (n:{node.label}){where} RETURN n"
    title = node.title
    question = rng.choice(
        [
            f"List {things}",
            f"Show {things}",
            f"Find all {things}",
            f"Show me all {things}",
            f"{rng.choice(LIST_THE)} {plural_words(title)} of {things}",
            f"Which {node.things} are there?" if not where else f"Get the {things}",
            f"What are the {plural_words(title)} of {things}?",
        ]
    )
    return question, f"MATCH (n:{node.label}){where} RETURN n.{title.name}"


def counted(rng: Random, words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Person) RETURN count(n)."""
    things, where = limited(rng, words, node, "n", 0.65)
    question = rng.choice(
        [
            f"How many {things} are there?",
            f"Count the {things}",
            f"What is the number of {things}?",
            f"How many {things} do we have?",
        ]
    )
    return question, f"MATCH (n:{node.label}){where} RETURN count(n)"


def aggregated(rng: Random, words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Person) RETURN avg(n.age)."""
    numbers = node.of("integer", "real")
    if not numbers:
        return None
    one = rng.choice(numbers)
    function = rng.choice(list(FUNCTIONS))
    named = f"{rng.choice(FUNCTIONS[function])} {one.words}"
    things, where = limited(rng, words, node, "n", 0.35, one.words)
    question = rng.choice(
        [
            f"What is the {named} of {things}?",
            f"Calculate the {named} of {things}",
            f"{rng.choice(LIST_THE)} {named} of {things}",
        ]
    )
    return question, f"MATCH (n:{node.label}){where} RETURN {function}(n.{one.name})"


def top(rng: Random, words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Product) RETURN n.name ORDER BY n.price DESC LIMIT 3."""
    numbers = node.of("integer", "real")
    if not numbers:
        return None
    one = rng.choice(numbers)
    down = rng.random() < 0.6
    count = rng.choice([1, 1, *range(2, 11)])
    number = "" if count == 1 else rng.choice([str(count), COUNTS.get(count, str(count))]) + " "
    several, where = limited(rng, words, node, "n", 0.2, one.words)
    things = several if count > 1 else several.replace(node.things, node.noun, 1)
    be = "are" if count > 1 else "is"
    if one.words in ADJECTIVES and rng.random() < 0.6:
        most = rng.choice(ADJECTIVES[one.words][0 if down else 1])
        question = rng.choice(
            [
                f"What {be} the {number}{most} {things}?",
                f"{rng.choice(LIST_THE)} {number}{most} {things}",
            ]
        )
    else:
        most = rng.choice(["highest", "largest", "greatest"] if down else ["lowest", "smallest"])
        question = rng.choice(
            [
                f"Which {number}{things} {'have' if count > 1 else 'has'} the {most} {one.words}?",
                f"{rng.choice(LIST_THE)} {number}{things} with the {most} {one.words}",
                f"What {be} the {number}{things} with the {most} {one.words}?",
            ]
        )
    return question, (
        f"MATCH (n:{node.label}){where} RETURN n.{node.title.name}"
        f" ORDER BY n.{one.name}{' DESC' if down else ''} LIMIT {count}"
    )


def ordered(rng: Random, words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Person) RETURN n.name ORDER BY n.age DESC."""
    one = rng.choice(node.properties)
    down = rng.random() < 0.5
    things, where = limited(rng, words, node, "n", 0.2, one.words)
    way = rng.choice(
        ["in descending order", "descending"] if down else ["", "in ascending order", "ascending"]
    )
    by = rng.choice(["sorted by", "ordered by"])
    question = (
        f"{rng.choice(['List', 'Show', 'Give me', 'List all'])} {things} {by} {one.words} {way}"
    )
    return question.strip(), (
        f"MATCH (n:{node.label}){where} RETURN n.{node.title.name}"
        f" ORDER BY n.{one.name}{' DESC' if down else ''}"
    )


def grouped(rng: Random, _words: Vocabulary, node: Node) -> tuple[str, str] | None:
    """MATCH (n:Person) RETURN n.city, count(n)."""
    texts = node.of("text")
    if not texts:
        return None
    one = rng.choice(texts)
    by = rng.choice(
        [f"per {one.words}", f"for each {one.words}", f"by {one.words}", f"in each {one.words}"]
    )
    numbers = node.of("integer", "real")
    if numbers and rng.random() < 0.4:
        value = rng.choice(numbers)
        function = rng.choice(list(FUNCTIONS))
        named = f"{rng.choice(FUNCTIONS[function])} {value.words} of {node.things}"
        question = rng.choice(
            [f"What is the {named} {by}?", f"{rng.choice(LIST_THE)} {named} {by}"]
        )
        result = f"{function}(n.{value.name})"
    else:
        question = rng.choice(
            [
                f"How many {node.things} are there {by}?",
                f"Count the {node.things} {by}",
                f"{rng.choice(LIST_THE)} number of {node.things} {by}",
            ]
        )
        result = "count(n)"
    return question, f"MATCH (n:{node.label}) RETURN n.{one.name}, {result}"


NODE_KINDS: dict[Callable[..., tuple[str, str] | None], int] = {
    nodes: 14,
    counted: 8,
    aggregated: 8,
    top: 10,
    ordered: 5,
    grouped: 5,
}
