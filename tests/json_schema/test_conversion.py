"""Compares grammars with a validator: each written text is valid, each promised text is written."""

from __future__ import annotations

import functools
import json
import re
from random import Random

import pytest

from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.matcher import compile_grammar
from hivellm_lite.gbnf.repair import repair_grammar
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.json_schema import schema_to_grammar

from ..gbnf.sentences import SentenceGenerator
from ..support.native_grammars import readable
from .cases import CASES, Case
from .validator import validator_of


@pytest.fixture(params=CASES, ids=lambda case: case.name.replace(" ", "-"))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


BY_NAME = {case.name: case for case in CASES}


@functools.cache
def grammar_of(name: str, whitespace: str = "single") -> Grammar:
    """The grammar of a case, which several tests look at."""
    return schema_to_grammar(BY_NAME[name].schema, whitespace=whitespace)


def written(value: object, **options: object) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


def test_cases_say_what_the_validator_says():
    assert len(BY_NAME) == len(CASES)
    for case in CASES:
        validator = validator_of(case.schema)
        assert [v for v in case.valid + case.narrowed if not validator.is_valid(v)] == [], case.name
        assert [v for v in case.invalid if validator.is_valid(v)] == [], case.name


@pytest.mark.unmeasured
def test_valid_values_are_written_and_others_are_not(case):
    recogniser = Recogniser(grammar_of(case.name))
    assert [v for v in case.valid if not recogniser.recognise(written(v))] == []
    assert [v for v in case.invalid + case.narrowed if recogniser.recognise(written(v))] == []


@pytest.mark.unmeasured
def test_every_sentence_is_valid(case):
    validator = validator_of(case.schema)
    for whitespace in ("single", "compact", "any"):
        generator = SentenceGenerator(grammar_of(case.name, whitespace))
        rng = Random(f"{case.name} {whitespace}")
        for size in (20, 40, 80, 160):
            sentence = generator.generate(rng, size)
            assert validator.is_valid(json.loads(sentence)), sentence


@pytest.mark.unmeasured
def test_other_layouts_are_read(case):
    compact, free = (
        Recogniser(grammar_of(case.name, whitespace)) for whitespace in ("compact", "any")
    )
    for value in case.valid[:3]:
        shortest = written(value, separators=(",", ":"))
        assert compact.recognise(shortest), value
        for text in (shortest, written(value, indent=2), written(value, indent="\t")):
            assert free.recognise(text), text


@pytest.mark.unmeasured
def test_automaton_agrees():
    for case in CASES:
        automaton = compile_grammar(grammar_of(case.name))
        for values, accepted in ((case.valid, True), (case.invalid + case.narrowed, False)):
            texts = [written(value) for value in values]
            wrong = [text for text in texts if automaton.accepts(text.encode()) != accepted]
            assert wrong == [], case.name


@pytest.mark.unmeasured
def test_llama_cpp_takes_every_grammar(tiny_model):
    refused = []
    for case in CASES:
        for whitespace in ("single", "any"):
            grammar = repair_grammar(grammar_of(case.name, whitespace)).grammar
            if not readable(tiny_model, str(grammar)):
                refused.append((case.name, whitespace))
    assert refused == []


def test_nullable_of_open_api():
    recogniser = Recogniser(schema_to_grammar({"type": "string", "nullable": True}))
    assert [text for text in ("null", '"a"', "1", "true") if recogniser.recognise(text)] == [
        "null",
        '"a"',
    ]


def test_no_rule_name_needs_repair():
    names = {name for case in CASES for name in schema_to_grammar(case.schema).rules}
    assert [name for name in names if not re.fullmatch("[A-Za-z0-9-]+", name)] == []
