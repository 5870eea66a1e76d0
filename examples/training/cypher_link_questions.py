"""The kinds of Cypher question about relationships: each function words one and writes its query.

They take ``(rng, words, relationship)`` and return ``(question, query)``, or ``None`` where the
graph does not have what the kind needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.cypher_wording import (
    base_verb,
    literal,
    plural_words,
    some_name,
    verb_phrase,
)
from training.sql_wording import COUNTS, LIST_THE

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from training.cypher import Relationship
    from training.vocabulary import Vocabulary


def targets_of(rng: Random, words: Vocabulary, link: Relationship) -> tuple[str, str] | None:
    """MATCH (a:Person)-[:ACTED_IN]->(b:Movie) WHERE a.name = 'Tom Hanks' RETURN b.title."""
    value = some_name(rng, words)
    who = rng.choice([value, value, f"the {link.source.noun} {value}"])
    verb, things = verb_phrase(link, several=False), link.target.things
    titles = plural_words(link.target.title)
    where = f"MATCH {link.pattern} WHERE a.{link.source.title.name} = {literal(value)}"
    base = base_verb(link)
    does = "does" if link.verb.split(" ")[0].endswith("s") else "did"
    if base and rng.random() < 0.1:
        return f"How many {things} {does} {who} {base}?", f"{where} RETURN count(b)"
    if rng.random() < 0.25:
        question = rng.choice(
            [
                f"How many {things} are there that {who} {verb}?",
                f"Count the {things} that {who} {verb}",
            ]
        )
        return question, f"{where} RETURN count(b)"
    question = rng.choice(
        [
            f"List the {things} that {who} {verb}",
            f"Which {things} are those that {who} {verb}?",
            f"Show all {things} {who} {verb}",
            f"Find the {things} that {who} {verb}",
            f"What are the {things} that {who} {verb}?",
            f"{rng.choice(LIST_THE)} {titles} of the {things} that {who} {verb}",
        ]
    )
    if base and rng.random() < 0.45:
        question = rng.choice(
            [f"Which {things} {does} {who} {base}?", f"What {things} {does} {who} {base}?"]
        )
    return question, f"{where} RETURN b.{link.target.title.name}"


def counted_by_source(
    rng: Random, _words: Vocabulary, link: Relationship
) -> tuple[str, str] | None:
    """MATCH (a:Person)-[:ACTED_IN]->(b:Movie) RETURN a.name, count(b)."""
    source, things = link.source, link.target.things
    verb = verb_phrase(link, several=False)
    question = rng.choice(
        [
            f"Count the {things} that each {source.noun} {verb}",
            f"For each {source.noun}, how many {things} are there that it {verb}?",
            f"{rng.choice(LIST_THE)} number of {things} that each {source.noun} {verb}",
            f"How many {things} are there per {source.noun} that {verb} them?",
        ]
    )
    base = base_verb(link)
    if base and rng.random() < 0.35:
        does = "does" if link.verb.split(" ")[0].endswith("s") else "did"
        question = f"How many {things} {does} each {source.noun} {base}?"
    return question, f"MATCH {link.pattern} RETURN a.{source.title.name}, count(b)"


def top_sources(rng: Random, _words: Vocabulary, link: Relationship) -> tuple[str, str] | None:
    """… RETURN a.name, count(b) AS total ORDER BY total DESC LIMIT 3."""
    count = rng.choice([1, 1, *range(2, 11)])
    number = "" if count == 1 else rng.choice([str(count), COUNTS[count]]) + " "
    things = link.source.things if count > 1 else link.source.noun
    verb = verb_phrase(link, several=count > 1)
    question = rng.choice(
        [
            f"Which {number}{things} {verb} the most {link.target.things}?",
            f"{rng.choice(LIST_THE)} {number}{things} that {verb} the most {link.target.things}",
        ]
    )
    return question, (
        f"MATCH {link.pattern} RETURN a.{link.source.title.name}, count(b) AS total"
        f" ORDER BY total DESC LIMIT {count}"
    )


LINK_KINDS: dict[Callable[..., tuple[str, str] | None], int] = {
    targets_of: 11,
    counted_by_source: 9,
    top_sources: 9,
}
