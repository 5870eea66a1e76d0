"""The automaton: which texts it accepts, and which bytes may follow."""

from __future__ import annotations

import itertools
import json
import re
from random import Random

import pytest

from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.matcher import (
    MAX_FORCED_BYTES,
    compile_grammar,
)
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.syntax import (
    Alternation,
    CharClass,
    Grammar,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

from .compiled import AMBIGUOUS, JSON, after, automaton
from .sentences import SentenceGenerator, mutate


def short_texts(alphabet: str, length: int) -> list[str]:
    return [
        "".join(chars) for n in range(length + 1) for chars in itertools.product(alphabet, repeat=n)
    ]


REGULAR = {
    "a word": ('"ab"', "ab"),
    "nothing": ('""', ""),
    "alternatives": ('"a" | "ab" | "b" "a"', "a|ab|ba"),
    "repetitions": ('"a"* "b"+ "c"?', "a*b+c?"),
    "counts": ('"a"{2} "b"{1,} "c"{0,2}', "a{2}b{1,}c{0,2}"),
    "no times": ('"a" "b"{0} "c"{0,0}', "a"),
    "repeated nothing": ('("a"* "b"?)* "c"', "(a*b?)*c"),
    "counted nothing": ('("a"? "b"?){3} "c"', "(a?b?){3}c"),
    "nested repetitions": ('(("a" "b"?)+ "c")* "a"', "((ab?)+c)*a"),
    "what may end goes on": ('("ab" | "a") ("bc" | "c")*', "(ab|a)(bc|c)*"),
    "classes": ("[ab] [^b] [^ab]?", "[ab][^b][^ab]?"),
    "any character": (". .? [b-c]", "..?[b-c]"),
    "an empty class": ('"a" | "b" no\nno ::= ("c" no)', "a"),
    "right recursion": ('"a" root | "b"', "a*b"),
    "optional right recursion": ('("a" root)?', "a*"),
    "two right recursions": ('x "c"\nx ::= "a" y | ""\ny ::= "b" x | "a"', "(ab)*(aa)?c"),
    "recursion behind nothing": ('ws "a" root | "b"\nws ::= "c"*', "(c*a)*b"),
    "a rule that may be empty": ('x "a" x x "b"\nx ::= y?\ny ::= "c" x | ""', "c*ac*b"),
    "rules used twice": ('x y x\nx ::= "a" | "b" y\ny ::= "c"*', "(a|bc*)c*(a|bc*)"),
    "exploding subsets": ('[ab]* "a" [ab]{3}', "[ab]*a[ab]{3}"),
}


@pytest.mark.parametrize("name", REGULAR)
def test_short_texts_are_judged_as_a_regular_expression_judges_them(name):
    described, pattern = REGULAR[name]
    found = automaton(f"root ::= {described}")
    texts = short_texts("abc", 7)
    sentences = [text for text in texts if re.fullmatch(pattern, text)]
    assert [text for text in texts if found.accepts(text.encode())] == sentences


@pytest.mark.parametrize(
    ("item", "pattern", "may_be_empty"),
    [
        ("[ab]", "[ab]", False),
        ('"a" "b"?', "ab?", False),
        ('"a"?', "a", True),
        ('("b" "a"? | "a")?', "ba?|a", True),
    ],
)
@pytest.mark.parametrize(("minimum", "maximum"), [(0, 260), (3, 260), (258, 260), (258, None)])
def test_large_counts_are_exact(item, pattern, may_be_empty, minimum, maximum):
    bounds = f"{{{minimum},{'' if maximum is None else maximum}}}"
    found = automaton(f'root ::= "x" ({item}){bounds}')
    for n in (0, 1, 2, 3, 130, 257, 258, 260, 261, 262, 518, 520, 522):
        for word in ("a" * n, "ab" * (n // 2), "ab" * n, "a" * (n // 2) + "b" + "a" * n):
            rounds = len(re.findall(pattern, word))  # the fewest
            fits = re.fullmatch(f"({pattern})*", word) is not None
            enough = may_be_empty or rounds >= minimum
            few = maximum is None or rounds <= maximum
            assert found.accepts(f"x{word}".encode()) == (fits and enough and few)


def test_subsets_too_many_to_be_written_out_are_made_as_texts_ask_for_them():
    found = automaton('root ::= [ab]* "a" [ab]{60}')
    rng = Random(1)
    for _ in range(20):
        text = "".join(rng.choices("ab", k=100))
        assert found.accepts(text.encode()) == (text[-61] == "a")


def test_json_is_told_from_what_is_not():
    found = automaton(JSON)
    rng = Random(2)
    texts = ['{"a": [1, -2.5e+3, {"b": null}], "é": "\\u00e9 \\n ✓", "": {}}', "[]", ' "" ', "0"]
    for text in [*texts, *(mutate(rng.choice(texts), rng) for _ in range(400))]:
        try:
            json.loads(text, parse_constant=lambda name: 1 / 0)
            valid = True
        except (ValueError, ZeroDivisionError):
            valid = False
        assert found.accepts(text.encode()) == valid, text


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_grammars_are_judged_as_by_an_independent_recogniser(name):
    described = parse_grammar(AMBIGUOUS[name])
    found, judge = compile_grammar(described), Recogniser(described)
    letters = "".join(sorted(set(re.findall(r'"([^"])"', AMBIGUOUS[name]))))
    for text in short_texts(letters, {1: 12, 2: 7, 3: 5}.get(len(letters), 4)):
        data = text.encode()
        assert found.accepts(data) == judge.recognise(text), text
        assert (found.start.advance(data) is not None) == judge.valid_prefix(text), text


def random_node(rng: Random, depth: int) -> Node:
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(
            [
                Literal(rng.choice(["", "a", "b", "ab", "é"])),
                CharClass(((97, 98),), negated=rng.random() < 0.2),
                RuleRef(rng.choice("xyz")),
                RuleRef(rng.choice("xyz")),
            ]
        )
    inner = tuple(random_node(rng, depth - 1) for _ in range(rng.randint(1, 3)))
    match rng.randrange(4):
        case 0:
            minimum = rng.randrange(3)
            maximum = rng.choice([None, minimum, minimum + 1, minimum + 2])
            return Repeat(inner[0], minimum, maximum)
        case 1:
            return Sequence(inner)
        case _:
            return Alternation(inner)


@pytest.mark.parametrize("seed", range(40))
def test_random_grammars_are_judged_as_by_an_independent_recogniser(seed):
    rng = Random(seed)
    while True:
        rules = {name: random_node(rng, 3) for name in ("root", "x", "y", "z")}
        described = Grammar(rules)
        judge = Recogniser(described)
        if judge.valid_prefix(""):
            break
    found = compile_grammar(described)
    sentences = SentenceGenerator(described)
    texts = [sentences.generate(rng, 40) for _ in range(15)]
    texts += [mutate(text, rng) for text in texts]
    for text in [*texts, *short_texts("ab", 3)]:
        data = text.encode()
        assert found.accepts(data) == judge.recognise(text), text
        assert (found.start.advance(data) is not None) == judge.valid_prefix(text), text


def test_characters_may_be_cut_anywhere():
    found = automaton('root ::= [^"\\x00-\\x1f]* "✓" [α-ω] "𝄞" [Ā-𐀀]')
    text = "añ–😀✓λ𝄞豈".encode()
    assert found.accepts(text)
    for cut in range(len(text)):
        assert found.start.advance(text[:cut]).advance(text[cut:]).accepting


@pytest.mark.parametrize(
    "data",
    [
        *(b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xed\xa0\x80"),
        *(b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),
        *(b"\xff", b"\xc3a", b"\xe2\x9ca"),
    ],
)
def test_no_class_takes_bytes_that_are_no_character(data):
    for described in ("root ::= .*", "root ::= [^a]*", "root ::= [^é]*"):
        assert automaton(described).start.advance(data) is None


def test_what_may_follow_is_exactly_what_can_be_continued():
    found = automaton(JSON)
    configuration = found.start
    for byte in b' {"a\\u00e9\xc3\xa9" : [12.5e1, {}, true]}\n':
        legal = {b for b in range(256) if configuration.advance(bytes([b])) is not None}
        assert configuration.next_bytes == legal
        assert not configuration.finished
        configuration = configuration.advance(bytes([byte]))
    assert configuration.accepting
    assert configuration.next_bytes == frozenset(b" \t\r\n")
    assert not configuration.finished


def test_rules_that_cannot_end_are_never_begun():
    found = automaton('root ::= "a" | "b" x | "c" y\nx ::= "d" x\ny ::= "e" y | "f"')
    assert found.start.next_bytes == frozenset(b"ac")


def test_a_text_is_finished_where_nothing_may_follow():
    found = automaton('root ::= "{" "a"? "}"')
    assert not after(found, b"{").finished
    assert after(found, b"{}").finished
    assert after(found, b"{a}").finished
    assert automaton('root ::= ""').start.finished


@pytest.mark.parametrize(
    ("described", "before", "forced"),
    [
        ('"SELECT " [a-z]+', b"", b"SELECT "),
        ('"SELECT " [a-z]+', b"SEL", b"ECT "),
        ('"SELECT " [a-z]+', b"SELECT ", b""),
        ('"true" | "trust"', b"", b"tru"),
        ('"a" "bc"?', b"", b"a"),  # the text may end there
        ('"✓" | "✗"', b"", b"\xe2\x9c"),
        ('x "}"\nx ::= "{\\"k\\":" [0-9] ","', b"", b'{"k":'),
        ('x "}"\nx ::= "{\\"k\\":" [0-9] ","', b'{"k":7', b",}"),
        ('"(" root ")" | "x"', b"((x", b"))"),
        ('"a"{600}', b"", b"a" * MAX_FORCED_BYTES),
        ('"a"{600}', b"a" * 500, b"a" * 100),
    ],
)
def test_forced_bytes_run_to_the_first_choice(described, before, forced):
    assert after(automaton(f"root ::= {described}"), before).forced() == forced
