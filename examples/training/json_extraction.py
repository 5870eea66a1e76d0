"""Text to JSON: a few sentences about one thing, and a JSON schema that says what to extract.

The answer has the schema's fields in the schema's order. Some texts say more than the schema
asks for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from training.example import Example
from training.json_everyday import EVERYDAY, SYNONYMS
from training.json_wording import said
from training.vocabulary import Vocabulary, camel, plural, snake, vocabulary

if TYPE_CHECKING:
    from training.example import Split
    from training.json_wording import Value

_KINDS = ("string", "integer", "number", "boolean", "array")


@dataclass(frozen=True)
class Field:
    """A field of the schema: its words, its JSON type, and what the text says of it."""

    words: str
    kind: str
    value: Value

    @property
    def type_schema(self) -> dict[str, object]:
        """The field's own JSON schema."""
        if self.kind == "array":
            return {"type": "array", "items": {"type": "string"}}
        return {"type": self.kind}


def _string(rng: Random, words: Vocabulary) -> Field:
    name = words.text(rng)
    return Field(name, "string", words.value(rng, name))


def _date(rng: Random, words: Vocabulary) -> Field:
    day = f"{rng.randint(1995, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return Field(rng.choice(words.dates), "string", day)


def _integer(rng: Random, words: Vocabulary) -> Field:
    value = rng.choice([rng.randint(1, 20), rng.randint(1, 99), rng.randint(100, 9999)])
    return Field(words.number(rng), "integer", value)


def _number(rng: Random, words: Vocabulary) -> Field:
    value = round(rng.uniform(0.1, rng.choice([5, 100, 900])), rng.choice([1, 2]))
    return Field(words.number(rng), "number", value)


def _boolean(rng: Random, words: Vocabulary) -> Field:
    return Field(rng.choice(words.flags), "boolean", rng.random() < 0.5)


def _array(rng: Random, words: Vocabulary) -> Field:
    name = rng.choice(sorted(words.lists))
    return Field(name, "array", words.items(rng, name))


def _fields(rng: Random, words: Vocabulary) -> list[Field]:
    makers = (_string, _integer, _boolean, _number, _array, _date)
    wanted = rng.choices(makers, weights=[7, 5, 4, 3, 3, 2], k=rng.randint(1, 3))
    made: dict[str, Field] = {}
    for maker in wanted:
        field = maker(rng, words)
        if not any(field.words in other or other in field.words for other in made):
            made[field.words] = field
    return list(made.values())


def _name(rng: Random, words: Vocabulary) -> str:
    return words.person(rng) if rng.random() < 0.5 else words.invented(rng)


def _schema(fields: list[Field], named: dict[str, str], *, closed: bool, spaced: bool) -> str:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {named[field.words]: field.type_schema for field in fields},
    }
    if closed:
        schema["required"] = list(named.values())
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(schema, separators=separators, ensure_ascii=False)


def examples(split: Split, count: int, seed: int, *, per_schema: int = 1) -> list[Example]:
    """``count`` texts, ``per_schema`` of them in a row for the same schema."""
    rng = Random(f"json {split} {seed}")
    words = vocabulary(split)
    made: list[Example] = []
    while len(made) < count:
        if split == "train" and rng.random() < 0.3:
            made += _everyday(rng, words, per_schema)
            continue
        noun = words.noun(rng)
        title = Field(words.title(rng), "string", "")
        fields = [title, *(f for f in _fields(rng, words) if f.words != title.words)]
        if rng.random() < 0.2:
            rng.shuffle(fields)
        style = snake if rng.random() < 0.75 else camel
        place = fields.index(title)
        named = {field.words: style(field.words) for field in fields}
        schema = _schema(fields, named, closed=rng.random() < 0.25, spaced=rng.random() < 0.3)
        for _ in range(per_schema):
            made.append(_example(rng, words, noun, fields, place, named, schema))
    return made[:count]


def _everyday(rng: Random, words: Vocabulary, count: int) -> list[Example]:
    """Texts about one kind of everyday thing; the schema asks for some of what they say."""
    kind = rng.choice(EVERYDAY)
    known = list(kind(rng, words)[0])
    asked = rng.sample(known, rng.randint(2, len(known)))
    if rng.random() < 0.6:
        asked.sort(key=known.index)
    named = {key: rng.choice(SYNONYMS.get(key, (key,))) for key in asked}
    spaced = rng.random() < 0.3
    made = []
    for _ in range(count):
        values, text = kind(rng, words)
        fields = [Field(key, _type_of(values[key]), values[key]) for key in asked]
        schema = _schema(fields, named, closed=False, spaced=spaced)
        answer = {named[field.words]: field.value for field in fields}
        made.append(Example(schema, text, json.dumps(answer, ensure_ascii=False), kind.__name__))
    return made


def _type_of(value: Value) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names[type(value)]


def _refilled(rng: Random, words: Vocabulary, field: Field) -> Field:
    """The same field with another value."""
    if field.kind == "string" and field.words in words.dates:
        return Field(field.words, "string", _date(rng, words).value)
    if field.kind == "string":
        return Field(field.words, "string", words.value(rng, field.words))
    if field.kind == "array":
        return Field(field.words, "array", words.items(rng, field.words))
    maker = {"integer": _integer, "number": _number, "boolean": _boolean}[field.kind]
    return Field(field.words, field.kind, maker(rng, words).value)


def _example(
    rng: Random,
    words: Vocabulary,
    noun: str,
    fields: list[Field],
    place: int,
    named: dict[str, str],
    schema: str,
) -> Example:
    """One text for the schema; ``place`` is the field that names the thing."""
    name = _name(rng, words)
    values: dict[str, Value] = {}
    sayings: list[Field] = []
    for field in fields:
        title = field is fields[place]
        filled = Field(field.words, "string", name) if title else _refilled(rng, words, field)
        values[named[field.words]] = filled.value
        if not title:
            sayings.append(filled)
    if rng.random() < 0.1:  # something nobody asked for
        extra = rng.choice([_string, _integer, _boolean])(rng, words)
        if not any(extra.words in field.words or field.words in extra.words for field in fields):
            sayings.append(extra)
    if rng.random() < 0.6:
        rng.shuffle(sayings)
    title_words = fields[place].words
    text = said(
        rng,
        noun,
        plural(noun),
        title_words,
        name,
        [(field.words, field.kind, field.value) for field in sayings],
    )
    kinds = sorted({field.kind for field in fields}, key=_KINDS.index)
    return Example(schema, text, json.dumps(values, ensure_ascii=False), "+".join(kinds))
