"""The grammars that come with the package hold exactly what parsers of their languages take.

Each folder beside this file is the corpus of a grammar, made by a script in ``scripts`` and
judged by a parser that knows nothing of our grammars. Four readers of the grammar must come
to the same verdicts: the automaton that enforces it (on every text), llama.cpp, and the
recogniser that follows the grammar's letter (on a part of the texts, they are slower).
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hivellm_lite.gbnf.checks import check_grammar
from hivellm_lite.gbnf.earley import recognise
from hivellm_lite.gbnf.library import grammar_names, grammar_text, load_grammar
from hivellm_lite.gbnf.matcher import Automaton, compile_grammar

from ..support.native_grammars import accepts
from ..support.paths import ROOT

FOLDER = Path(__file__).parent
SCRIPTS = ROOT / "scripts"
CORPORA = sorted(path.parent.name for path in FOLDER.glob("*/valid.jsonl"))

AT_LEAST = 60
"""Texts of each kind in a corpus."""

CHARACTERS = 600
"""How much of a corpus the slower readers read, of each kind."""


@functools.cache
def texts(name: str, kind: str) -> tuple[str, ...]:
    lines = (FOLDER / name / f"{kind}.jsonl").read_text("utf-8").split("\n")
    return tuple(json.loads(line) for line in lines if line)


def part(name: str, kind: str) -> Iterator[str]:
    """Texts from all over the corpus, always the same, about `CHARACTERS` long in all."""
    everything = texts(name, kind)
    step = max(1, sum(map(len, everything)) // CHARACTERS)
    return iter(everything[::step])


@functools.cache
def automaton(name: str) -> Automaton:
    return compile_grammar(load_grammar(name))


def test_every_grammar_has_a_corpus():
    assert grammar_names() == CORPORA


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_is_large_and_says_nothing_twice(name):
    valid, invalid = texts(name, "valid"), texts(name, "invalid")
    assert min(len(valid), len(invalid)) >= AT_LEAST
    assert len({*valid, *invalid}) == len(valid) + len(invalid)


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", CORPORA)
def test_no_grammar_needs_a_repair(name):
    assert check_grammar(load_grammar(name)) == []


@pytest.mark.parametrize("name", CORPORA)
def test_a_grammar_begins_with_what_it_describes(name):
    assert grammar_text(name).startswith("# ")


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", CORPORA)
def test_the_automaton_agrees_with_the_judge(name):
    accepts = automaton(name).accepts
    assert [text for text in texts(name, "valid") if not accepts(text.encode())] == []
    assert [text for text in texts(name, "invalid") if accepts(text.encode())] == []


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", CORPORA)
def test_the_recogniser_agrees_with_the_judge(name):
    grammar = load_grammar(name)
    assert [text for text in part(name, "valid") if not recognise(grammar, text)] == []
    assert [text for text in part(name, "invalid") if recognise(grammar, text)] == []


@pytest.mark.parametrize("name", CORPORA)
def test_llama_cpp_agrees_with_the_judge(tiny_model, name):
    grammar = grammar_text(name).encode()
    for kind, expected in (("valid", True), ("invalid", False)):
        verdicts = {text: accepts(tiny_model, grammar, text) for text in part(name, kind)}
        assert [text for text, verdict in verdicts.items() if verdict != expected] == []


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("json", "[", "]"),
        ("json", '{"a":', "1}"),
        ("sql-postgres", "SELECT", "1"),
        ("sql-postgres", "SELECT 1", ";"),
        ("sql-postgres", "SELECT f(", ")"),
    ],
)
def test_white_space_comes_to_an_end(name, before, after):
    accepts = automaton(name).accepts
    assert accepts(f"{before}{' ' * 20}{after}".encode())
    assert not accepts(f"{before}{' ' * 60}{after}".encode())


def word_rules():
    spec = importlib.util.spec_from_file_location("words", SCRIPTS / "make_word_rules.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CORPORA)
def test_tables_of_words_are_what_their_script_writes(name):
    script, text = word_rules(), grammar_text(name)
    if script.MARK in text:
        assert script.complete(text) == text, "run scripts/make_word_rules.py"


def test_reserved_words_are_no_names_and_longer_words_are():
    accepts = automaton("sql-postgres").accepts
    reserved = word_rules().reserved_of(grammar_text("sql-postgres"))
    keyword_names = {"overlay", "position", "substring", "trim"}
    for word in set(reserved) - keyword_names:
        assert not accepts(f"SELECT 1 AS {word}".encode()), word
        assert not accepts(f"SELECT 1 AS {word.upper()}".encode()), word
        assert accepts(f"SELECT 1 AS {word}x".encode()), word
        assert accepts(f'SELECT t.{word} AS "{word}" FROM t'.encode()), word
    for word in keyword_names:
        assert accepts(f"SELECT {word} AS {word} FROM {word}".encode()), word
