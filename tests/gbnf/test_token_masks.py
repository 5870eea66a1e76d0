"""Which tokens a grammar allows: the same by mask and one by one, cut characters included."""

from __future__ import annotations

import numpy as np
import pytest

from hivellm_lite.gbnf import token_masks
from hivellm_lite.gbnf.matcher import Automaton, compile_grammar
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.token_masks import TokenMasks

GRAMMAR = r"""
root ::= "{" pair ("," ws pair)* "}"
pair ::= string ws ":" ws (string | number | root | "[" (root ("," root)*)? "]")
string ::= "\"" ([^"\\\x00-\x1f] | "\\" ["\\n])* "\""
number ::= "-"? [0-9]{1,9} ("." [0-9]+)?
ws ::= " "{0,40}
"""

PIECES = [
    *(bytes([byte]) for byte in range(256)),
    b"",
    *(b" " * n for n in range(2, 60)),
    *(str(n).encode() for n in range(10, 2000, 7)),
    *('{"', '":', '": "', '","', '"}', '"},', "}}", '{"a":', '":[{"', "[]", "[{", "]]", "truth"),
    *("né", "é✓", "\\n", '\\"', '\\"}', "\\x", "a" * 70, "0" * 12, "1.5,", '"' + "b" * 300),
    "✓".encode()[:2],
    "✓".encode()[1:],
    "a✓".encode()[:-1],
    "✓".encode()[1:] + b'"',
]
PIECES = [piece.encode() if isinstance(piece, str) else piece for piece in PIECES]

TEXTS = [
    b"",
    b"{",
    b'{"',
    b'{"a',
    b'{"a\\',
    '{"✓'.encode()[:-1],
    '{"✓'.encode()[:-2],
    b'{"a"',
    b'{"a":' + b" " * 39,
    b'{"a": 12345678',
    b'{"a": -',
    b'{"a": [',
    b'{"a":[' * 9,
    b'{"a":[{"b":1}',
    b'{"a":1}',
]


@pytest.fixture(scope="module")
def automaton() -> Automaton:
    return compile_grammar(parse_grammar(GRAMMAR))


@pytest.fixture
def masks() -> TokenMasks:
    return TokenMasks(PIECES)


@pytest.mark.parametrize("few_nodes", [0, 5, 100_000])
@pytest.mark.parametrize("text", TEXTS)
def test_the_mask_has_exactly_the_tokens_that_can_be_stepped_over(
    automaton, text, few_nodes, monkeypatch
):
    monkeypatch.setattr(token_masks, "FEW_NODES", few_nodes)
    masks = TokenMasks(PIECES)
    configuration = automaton.start.advance(text)
    legal = [masks.step(configuration, n) is not None for n in range(len(PIECES))]
    assert masks.mask(configuration).tolist() == legal
    assert any(legal) != configuration.finished


@pytest.mark.parametrize("text", TEXTS)
def test_the_quick_mask_lacks_no_legal_token_and_goes_by_the_first_byte(automaton, masks, text):
    configuration = automaton.start.advance(text)
    first_legal = [bool(p) and configuration.advance(p[:1]) is not None for p in PIECES]
    assert masks.quick_mask(configuration).tolist() == first_legal


@pytest.mark.parametrize("text", TEXTS)
def test_longer_tokens_are_found_for_whatever_they_begin_with(automaton, masks, text):
    configuration = automaton.start.advance(text)
    for data in [b"", *PIECES, b" " * 57, b"zz", b'{"a', b'"' + b"b" * 200]:
        legal_and_longer = [
            len(piece) > len(data)
            and piece.startswith(data)
            and configuration.advance(piece) is not None
            for piece in PIECES
        ]
        assert masks.extends(configuration, data) == any(legal_and_longer), data


def test_a_step_goes_where_the_bytes_of_the_token_go(automaton, masks):
    configuration = automaton.start
    for piece in (b'{"', "✓".encode()[:2], "✓".encode()[2:], b'":', b"[{", b'"'):
        expected = configuration.advance(piece)
        configuration = masks.step(configuration, PIECES.index(piece))
        assert configuration is expected is not None
    assert masks.step(configuration, PIECES.index(b"\n")) is None


def test_tokens_without_text_are_never_legal(automaton, masks):
    control = PIECES.index(b"")
    for text in TEXTS:
        configuration = automaton.start.advance(text)
        assert masks.step(configuration, control) is None
        assert not masks.mask(configuration)[control]
        assert not masks.quick_mask(configuration)[control]


def test_a_mask_may_meet_any_number_of_configurations():
    found = compile_grammar(parse_grammar('root ::= "a"{300} "b"'))
    masks = TokenMasks([b"a" * n for n in range(1, 350)] + [b"a" * 300 + b"b"])
    assert masks.mask(found.start).tolist() == [True] * 300 + [False] * 49 + [True]


def test_tokens_of_the_same_bytes_are_all_legal():
    found = compile_grammar(parse_grammar('root ::= "ab"'))
    masks = TokenMasks([b"ab", b"", b"a", b"ab", b"abc"])
    assert masks.mask(found.start).tolist() == [True, False, True, True, False]


def test_a_vocabulary_may_have_no_text_at_all():
    found = compile_grammar(parse_grammar('root ::= "ab"'))
    for pieces in ([], [b"", b""]):
        masks = TokenMasks(pieces)
        assert masks.n_tokens == len(pieces)
        assert not masks.mask(found.start).any()
        assert not masks.extends(found.start, b"a")


def test_masks_are_kept_for_the_latest_configurations_and_cannot_be_changed(automaton, masks):
    start = masks.mask(automaton.start)
    assert masks.mask(automaton.start) is start
    with pytest.raises(ValueError, match="read-only"):
        start[0] = True
    for n in range(token_masks.MAX_CACHED_MASKS):
        masks.mask(automaton.start.advance(b'{"a":[' * n + b"{"))
    again = masks.mask(automaton.start)
    assert again is not start
    np.testing.assert_array_equal(again, start)


def test_a_quick_mask_may_be_changed(automaton, masks):
    masks.quick_mask(automaton.start)[:] = False
    assert masks.quick_mask(automaton.start).any()


def test_one_vocabulary_serves_many_grammars_and_one_grammar_many_vocabularies(automaton):
    other = compile_grammar(parse_grammar('root ::= "é" [0-9]*'))
    few, many = TokenMasks(["é1".encode(), b"{"]), TokenMasks(PIECES)
    assert few.mask(other.start).tolist() == [True, False]
    assert few.mask(automaton.start).tolist() == [False, True]
    assert many.mask(other.start).sum() == 1
    assert many.mask(automaton.start)[PIECES.index(b"{")]
