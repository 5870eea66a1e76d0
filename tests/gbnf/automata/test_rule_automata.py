"""From a grammar to tables: exact on bytes, small where it can be, bounded where it cannot."""

from __future__ import annotations

import itertools
import re

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.automata import dfa, inlining, nfa, rule_automata
from hivellm_lite.gbnf.automata.dfa import SymbolNfa, to_machine
from hivellm_lite.gbnf.automata.rule_automata import build_rule_automata
from hivellm_lite.gbnf.automata.rule_calls import LeftRecursionError
from hivellm_lite.gbnf.automata.utf8 import byte_sequences
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.syntax import (
    EMPTY,
    Alternation,
    Grammar,
    Literal,
    Repeat,
    RuleRef,
    Sequence,
)


def tables(text: str) -> rule_automata.RuleAutomata:
    return build_rule_automata(parse_grammar(text))


BORDERS = (0, 0x41, 0x7F, 0x80, 0xBF, 0x7FF, 0x800, 0xFFF, 0xD7FF, 0xE000, 0xFFFF, 0x10000)
BORDERS += (0x1003F, 0x10040, 0x2F123, 0xFFFFF, 0x100000, 0x10FFFE, 0x10FFFF)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (first, last)
        for first, last in itertools.combinations_with_replacement(BORDERS, 2)
        if not first < 0xD800 <= last
    ],
)
def test_byte_ranges_hold_the_characters_of_a_range_and_no_others(first, last):
    sequences = list(byte_sequences([(first, last)]))

    def found(code: int) -> int:
        data = chr(code).encode()
        return sum(
            len(data) == len(sequence)
            and all(a <= byte <= b for byte, (a, b) in zip(data, sequence, strict=True))
            for sequence in sequences
        )

    near = {border + step for border in BORDERS for step in (-65, -64, -1, 0, 1, 63, 64)}
    for code in near | {first - 1, last + 1}:
        if 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            assert found(code) == (first <= code <= last)


def test_all_characters_are_nine_byte_sequences():
    assert len(list(byte_sequences([(0, 0xD7FF), (0xE000, 0x10FFFF)]))) == 9


def test_alternatives_that_begin_or_end_alike_share_their_states():
    assert len(tables('root ::= "select" | "self" | "sect"').moves) == 1 + 7
    assert len(tables('root ::= "ing" | "ring" | "string"').moves) == 1 + 7


def test_small_rules_become_part_of_their_callers_and_recursive_ones_stay():
    found = tables(
        r"""
        root ::= value
        value ::= object | number ws
        object ::= "{" ws pair? "}" ws
        pair ::= key ":" ws value
        key ::= "\"" [a-z]* "\"" ws
        number ::= digit+
        digit ::= [0-9]
        ws ::= [ \t\n]*
        """
    )
    assert len(found.first) == 2  # root and value


def test_no_rule_grows_without_measure_by_taking_in_others(monkeypatch):
    text = f'root ::= "<" word ">"\nword ::= "{"b" * 60}"'
    assert len(tables(text).first) == 1
    monkeypatch.setattr(inlining, "MAX_CALLER_STATES", 50)
    assert len(tables(text).first) == 2


def test_a_rule_that_ends_with_itself_is_a_loop():
    found = tables('root ::= "(" chars ")"\nchars ::= "" | char chars\nchar ::= [a-z]')
    assert len(found.first) == 1
    assert len(found.moves) == 1 + 3


def test_what_is_nothing_behind_a_call_does_not_keep_it_from_being_a_loop():
    nothing = Alternation((EMPTY, EMPTY))
    again = Sequence((Literal("a"), RuleRef("root"), nothing))
    found = build_rule_automata(Grammar({"root": Alternation((again, Literal("b")))}))
    assert not any(found.calls)


def test_rules_that_contain_each_other_are_not_inlined_without_end():
    found = tables('root ::= a\na ::= "x" b "y" | "x"\nb ::= "z" a "w" | "(" b ")"')
    assert 1 < len(found.first) <= 3


def test_bytes_that_no_rule_tells_apart_are_one_class():
    assert len(tables('root ::= ([a-z0-9_] | [^"\\\\])*').class_members) < 20
    found = tables('root ::= [a-z]+ "0"')
    assert sorted(map(len, found.class_members)) == [1, 26, 256 - 27]
    assert b"".join(found.class_members) != found.byte_classes
    for byte in range(256):
        assert byte in found.class_members[found.byte_classes[byte]]


@pytest.mark.parametrize("item", ["[a-z]", '[^"]', '"a"?', "([a-c] | [^x-z] [0-9]){1,7}"])
def test_a_counted_repetition_costs_its_count_not_its_count_times_its_item(item):
    small, large = (len(tables(f"root ::= {item}{{3,{n}}}").moves) for n in (600, 1_100))
    assert large - small == 500


def test_nested_repetitions_add_up():
    assert len(tables('root ::= (("ab" | [^c]){0,1000} "d"){0,1000}').moves) < 2_500


def test_a_rule_whose_subsets_explode_keeps_several_targets(monkeypatch):
    monkeypatch.setattr(dfa, "ALLOWANCE", 1_000)
    found = tables('root ::= [ab]* "a" [ab]{40}')
    assert len(found.moves) < 100
    assert any(len(targets) > 1 for row in found.moves for targets in row.values())


def test_a_machine_has_as_few_states_as_there_are_continuations():
    # "odd" an even number of times among any number of "even", each state drawn twice
    labels = [("even",), ("odd",)]
    empty = [[4], [], [4], [], []]
    moves = [[(0, 2), (1, 1)], [(0, 3), (1, 2)], [(0, 0), (1, 3)], [(0, 1), (1, 0)], []]
    machine = to_machine(SymbolNfa(labels, empty, moves, start=0, end=4))
    assert machine.final == (True, False)
    assert machine.moves == (
        {"even": (0,), "odd": (1,)},
        {"even": (1,), "odd": (0,)},
    )


@pytest.mark.parametrize("allowance", [1_000, -100])
def test_a_machine_leaves_out_what_leads_to_no_end(allowance, monkeypatch):
    monkeypatch.setattr(dfa, "ALLOWANCE", allowance)
    labels = [("a",), ("b",)]
    moves = [[(0, 1), (1, 2)], [], [(0, 2)]]
    machine = to_machine(SymbolNfa(labels, [[], [], []], moves, start=0, end=1))
    assert machine.moves == ({"a": (1,)}, {})
    assert machine.final == (False, True)


@pytest.mark.parametrize(
    ("text", "cycle"),
    [
        ('root ::= root "b" | "a"', {"root"}),
        ('root ::= x "a" | "b"\nx ::= root "c" | "d" x "e"', {"root", "x"}),
        ('root ::= ws root "b" | "a"\nws ::= " "*', {"root"}),
    ],
)
def test_left_recursion_is_found_with_the_rules_on_its_way(text, cycle):
    with pytest.raises(LeftRecursionError, match=r"left recursion: \w+( → \w+)+\n") as caught:
        tables(text)
    assert (
        set(re.findall(r"\w+", str(caught.value).split("recursion: ")[1].split("\n")[0])) == cycle
    )


@pytest.mark.parametrize("text", ['root ::= "a" root', 'root ::= x\nx ::= "a" x | "b" root "c"'])
def test_a_grammar_without_any_text_is_refused(text):
    with pytest.raises(GrammarError, match=r"^<grammar>: no text fits rule 'root'"):
        tables(text)


def test_a_missing_rule_is_named():
    with pytest.raises(GrammarError, match=r"^my\.gbnf: rule 'item' does not exist\n"):
        build_rule_automata(parse_grammar('root ::= "a" item', source="my.gbnf"))
    with pytest.raises(GrammarError, match=r"rule 'root' does not exist"):
        build_rule_automata(Grammar({}))


def test_too_many_states_are_refused_with_the_rule(monkeypatch):
    monkeypatch.setattr(nfa, "MAX_STATES", 100)
    tables(f'root ::= "{"a" * 90}"')
    with pytest.raises(GrammarError, match=r"too large at rule 'word': more than 100 states\n"):
        tables(f'root ::= "{"a" * 60}" word\nword ::= "{"b" * 60}"')


def test_a_count_beyond_all_limits_is_refused_before_it_is_written_out():
    vast = Repeat(RuleRef("x"), 0, 10**12)
    with pytest.raises(GrammarError, match=r"rule 'root' repeats too often: 1,000,000,000,000"):
        build_rule_automata(Grammar({"root": vast, "x": Literal("x")}))


def test_long_chains_of_rules_need_no_deep_stack():
    lines = [f'r{n} ::= r{n + 1} | "(" r{n + 1} ")"' for n in range(1_050)]
    found = tables("\n".join(["root ::= r0", *lines, 'r1050 ::= "x"']))
    assert len(found.first) > 1
