"""Strings and keys in the spelling of JSON."""

from __future__ import annotations

import json
from random import Random

import pytest

from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.syntax import RuleRef
from hivellm_lite.json_schema import schema_to_grammar
from hivellm_lite.json_schema.layout import LAYOUTS
from hivellm_lite.json_schema.rules import RuleBook
from hivellm_lite.json_schema.strings.nodes import encoded

from ...gbnf.sentences import SentenceGenerator


def recogniser(schema: object) -> Recogniser:
    return Recogniser(schema_to_grammar(schema))


def test_free_strings_may_spell_characters_as_escapes():
    accepts = recogniser({"type": "string", "maxLength": 2}).recognise
    assert accepts(r'"\u00e9\/"')
    assert accepts(r'"\ud83d\ude00\uD83D\uDE00"')
    assert accepts('"\U0001f600\x7f"')


@pytest.mark.parametrize(
    "text",
    [
        '"\n"',
        '"\x00"',
        '"\t"',
        r'"\x41"',
        r'"\u12"',
        r'"\ud83d"',
        r'"\ude00"',
        r'"\ud83da"',
        '"',
        '"""',
    ],
)
def test_broken_strings_are_never_written(text):
    assert not recogniser({"type": "string"}).recognise(text)
    assert not recogniser({"type": "string", "pattern": ""}).recognise(text)


def test_patterns_spell_each_character_in_one_way():
    accepts = recogniser({"type": "string", "pattern": "^.$"}).recognise
    assert accepts(r'"\""')
    assert accepts('"/"')
    assert accepts(r'"\u0001"')
    assert not accepts(r'"\u0041"')
    assert not accepts(r'"\/"')


def test_references_in_a_pattern_tree_stay():
    assert encoded(RuleRef("x"), RuleBook(LAYOUTS["single"]), "name") == RuleRef("x")


def test_listed_key_is_not_repeated_in_disguise():
    schema = {"properties": {"name": {"type": "null"}}, "additionalProperties": {"type": "integer"}}
    accepts = recogniser({"type": "object", **schema}).recognise
    assert accepts('{"name": null, "names": 1}')
    assert not accepts('{"name": null, "name": 1}')
    assert not accepts(r'{"name": null, "n\u0061me": 1}')


def test_key_that_is_not_listed_may_have_any_other_name():
    listed = ["", "a", "ab", "b", "a very long name of a property", 'q"', "é"]
    schema = {"properties": dict.fromkeys(listed, False), "additionalProperties": {"const": 1}}
    accepts = recogniser({"type": "object", **schema}).recognise
    others = [
        "aa",
        "abc",
        "c",
        "bb",
        "a very long name",
        "a very long name of a propertY",
        "q",
        "è",
    ]
    assert [name for name in others if not accepts(json.dumps({name: 1}, ensure_ascii=False))] == []
    assert [name for name in listed if accepts(json.dumps({name: 1}, ensure_ascii=False))] == []


def test_every_sentence_of_free_strings_is_json():
    generator = SentenceGenerator(schema_to_grammar({"type": "array", "items": {"type": "string"}}))
    rng = Random(3)
    for size in range(20, 600, 20):
        for text in json.loads(generator.generate(rng, size)):
            text.encode("utf-8")
