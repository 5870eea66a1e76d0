"""Text to Cypher: seeded questions about made-up property graphs.

All queries have one style, so that right answers are equal texts: ``n`` for a single node, ``a``
and ``b`` for the two ends of a relationship, conditions in ``WHERE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from training import cypher_link_questions, cypher_node_questions
from training.example import Example, weighted
from training.sql_wording import as_typed
from training.vocabulary import Vocabulary, camel, pascal, plural, snake, vocabulary

if TYPE_CHECKING:
    from training.example import Split


@dataclass(frozen=True)
class Property:
    """A node's property; ``kind`` is title, text, date, integer or real."""

    words: str
    kind: str
    name: str


@dataclass(frozen=True)
class Node:
    """A node label and its properties; the first one is the title."""

    noun: str
    properties: tuple[Property, ...]

    @property
    def label(self) -> str:
        return pascal(self.noun)

    @property
    def things(self) -> str:
        return plural(self.noun)

    @property
    def title(self) -> Property:
        return self.properties[0]

    def of(self, *kinds: str) -> list[Property]:
        """The properties of these kinds."""
        return [one for one in self.properties if one.kind in kinds]


@dataclass(frozen=True)
class Relationship:
    """``(:source)-[:VERB]->(:target)``."""

    source: Node
    verb: str
    target: Node

    @property
    def type(self) -> str:
        return snake(self.verb).upper()

    @property
    def pattern(self) -> str:
        return f"(a:{self.source.label})-[:{self.type}]->(b:{self.target.label})"


def _node(rng: Random, words: Vocabulary, noun: str, *, humps: bool) -> Node:
    style = camel if humps else snake
    title = words.title(rng)
    named = [(title, "title")]
    texts = sorted({words.text(rng) for _ in range(rng.randint(0, 2))} - {title})
    others = [(text, "text") for text in texts]
    numbers = {words.number(rng) for _ in range(rng.randint(0 if others else 1, 2))}
    others += [
        (number, rng.choice(["integer", "integer", "real"]))
        for number in sorted(numbers - {title, *texts})
    ]
    if rng.random() < 0.15:
        others.append((rng.choice(words.dates), "date"))
    rng.shuffle(others)
    named += [pair for pair in others if pair[0] != title]
    return Node(noun, tuple(Property(text, kind, style(text)) for text, kind in named))


def graph(rng: Random, words: Vocabulary) -> tuple[list[Node], list[Relationship]]:
    """Two or three node labels and one or two relationships between them."""
    nouns: list[str] = []
    wanted = rng.choice([2, 2, 3])
    while len(nouns) < wanted:
        noun = words.noun(rng)
        if not any(noun in other or other in noun for other in nouns):
            nouns.append(noun)
    humps = rng.random() < 0.4
    nodes = [_node(rng, words, noun, humps=humps) for noun in nouns]
    verbs = rng.sample(words.verbs, rng.choice([1, 2, 2]))
    made = []
    for verb in verbs:
        source, target = rng.sample(nodes, 2)
        made.append(Relationship(source, verb, target))
    return nodes, made


_TYPES = {
    "title": "STRING",
    "text": "STRING",
    "date": "DATE",
    "integer": "INTEGER",
    "real": "FLOAT",
}


def schema_text(rng: Random, nodes: list[Node], links: list[Relationship]) -> str:
    """The graph's schema in Markdown."""
    bullet = rng.choice(["", "", "- "])
    lines = ["Node properties:"]
    one_line = rng.random() < 0.15
    for node in nodes:
        typed = [(one.name, _TYPES[one.kind]) for one in node.properties]
        if one_line:
            inside = ", ".join(f"{name}: {kind}" for name, kind in typed)
            lines.append(f"- **{node.label}** {{{inside}}}")
        else:
            lines.append(f"- **{node.label}**")
            lines += [f"  - `{name}`: {kind}" for name, kind in typed]
    lines.append(rng.choice(["Relationships:", "The relationships:"]))
    lines += [
        f"{bullet}(:{one.source.label})-[:{one.type}]->(:{one.target.label})" for one in links
    ]
    return "\n".join(lines)


def examples(split: Split, count: int, seed: int, *, per_schema: int = 1) -> list[Example]:
    """``count`` questions, ``per_schema`` of them in a row about the same graph."""
    rng = Random(f"cypher {split} {seed}")
    words = vocabulary(split)
    made: list[Example] = []
    while len(made) < count:
        nodes, links = graph(rng, words)
        text = schema_text(rng, nodes, links)
        asked: set[str] = set()
        wanted = min(per_schema, count - len(made))
        for _ in range(per_schema * 8):
            if len(asked) == wanted:
                break
            if rng.random() < 0.45:
                kind = weighted(rng, cypher_link_questions.LINK_KINDS)
                pair = kind(rng, words, rng.choice(links))
            else:
                kind = weighted(rng, cypher_node_questions.NODE_KINDS)
                pair = kind(rng, words, rng.choice(nodes))
            if pair is None or pair[1] in asked:
                continue
            asked.add(pair[1])
            made.append(Example(text, as_typed(rng, pair[0]), pair[1], kind.__name__))
    return made
