"""Shared rules, names of rules, and repetitions in blocks."""

from __future__ import annotations

import pytest

from hivellm_lite.gbnf.build import literal
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.json_schema import rules, schema_to_grammar
from hivellm_lite.json_schema.layout import LAYOUTS


@pytest.mark.parametrize("minimum", [0, 1, 3, 4, 7, 9])
@pytest.mark.parametrize("more", [0, 1, 2, 3, 5, 6, 8, None])
def test_blocks_count_exactly(monkeypatch, minimum, more):
    monkeypatch.setattr(rules, "MAX_COUNTED", 3)
    book = rules.RuleBook(LAYOUTS["single"])
    maximum = None if more is None else minimum + more
    root = book.counted("a", literal("a"), minimum, maximum)
    accepts = Recogniser(Grammar({"root": root, **book.rules})).recognise
    counts = [count for count in range(25) if accepts("a" * count)]
    assert counts == list(range(minimum, 25 if maximum is None else maximum + 1))


def test_names_recall_where_schemas_stand():
    street = {"type": "object", "properties": {"street": {"maxLength": 5}}}
    schema = {"properties": {"address": street, "next": {"$ref": "#/$defs/Person"}}}
    names = schema_to_grammar({"$defs": {"Person": street}, **schema}).rules
    assert {"root", "address", "address-street", "Person", "Person-street"} <= set(names)


def test_names_are_unique_and_legal():
    names = ["string", "value", "a b", "a_b", "a-b", "é", "", "root", "x" * 300]
    schema = {"properties": {name: {"const": name} for name in names}}
    rules_of = schema_to_grammar({"type": "object", **schema}).rules
    assert {"string-2", "a-b", "a-b-2", "a-b-3", "rule", "rule-2", "root-2"} <= set(rules_of)
    assert max(map(len, rules_of)) <= 70


def test_references_share_a_rule():
    schema = {
        "$defs": {"n": {"minimum": 1}},
        "properties": {k: {"$ref": "#/$defs/n"} for k in "abc"},
    }
    assert len([name for name in schema_to_grammar(schema).rules if name.startswith("n")]) == 2


def test_optional_properties_cost_one_rule_each():
    names = [f"p{index}" for index in range(100)]
    grammar = schema_to_grammar({"type": "object", "properties": {name: {} for name in names}})
    assert len(grammar.rules) < 120
    assert len(str(grammar)) < 20_000


def test_same_schema_gives_the_same_text():
    schema = {"required": ["c", "a", "b"], "type": ["object", "string"], "maxProperties": 4}
    assert str(schema_to_grammar(schema)) == str(schema_to_grammar(schema))
