"""The constructors: one tree for each way of saying a thing."""

from __future__ import annotations

import pytest

from hivellm_lite.gbnf.build import (
    ANY,
    NOTHING,
    alternation,
    char_class,
    literal,
    normal,
    optional,
    parts,
    repeat,
    sequence,
)
from hivellm_lite.gbnf.syntax import (
    EMPTY,
    Alternation,
    CharClass,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

A, B, C = Literal("a"), RuleRef("b"), CharClass(((0x63, 0x63),))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (literal(""), EMPTY),
        (literal("a"), A),
        (sequence(), EMPTY),
        (sequence(A), A),
        (sequence(A, B), Sequence((A, B))),
        (sequence(A, Sequence((B, Sequence(())))), Sequence((A, B, EMPTY))),
        (sequence(sequence(A, B), EMPTY, literal(""), C), Sequence((A, B, C))),
        (sequence(Literal("")), EMPTY),
        (alternation(A), A),
        (alternation(A, alternation(B, C)), Alternation((A, B, C))),
        (alternation(A, A, Literal("")), Alternation((A, A, EMPTY))),
        (repeat(A), Repeat(A, 0, None)),
        (repeat(A, 2, 3), Repeat(A, 2, 3)),
        (repeat(A, 1, 1), A),
        (repeat(A, 0, 0), EMPTY),
        (repeat(EMPTY, 2), EMPTY),
        (repeat(Literal("")), EMPTY),
        (repeat(Sequence((A,))), Repeat(A, 0, None)),
        (optional(A), Repeat(A, 0, 1)),
    ],
)
def test_trees_are_in_normal_form(made, expected):
    assert made == expected


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ((0, None), (0, None), (0, None)),
        ((1, None), (0, None), (0, None)),
        ((1, None), (0, 1), (0, None)),
        ((1, None), (1, None), (1, None)),
        ((0, 1), (1, None), (0, None)),
        ((0, 1), (0, 1), (0, 1)),
    ],
)
def test_stars_pluses_and_question_marks_of_one_another_become_one(inner, outer, expected):
    assert repeat(repeat(A, *inner), *outer) == Repeat(A, *expected)


def test_counted_repetitions_of_one_another_stay():
    assert repeat(repeat(A, 2, 2), 0, None) == Repeat(Repeat(A, 2, 2), 0, None)


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([(5, 9), (1, 2)], ((1, 2), (5, 9))),
        ([(1, 4), (3, 9)], ((1, 9),)),
        ([(1, 9), (3, 4)], ((1, 9),)),
        ([(1, 4), (5, 9)], ((1, 9),)),
        ([(1, 4), (6, 9)], ((1, 4), (6, 9))),
        ([(0x61, 0xD7FF), (0xE000, 0xFFFF)], ((0x61, 0xFFFF),)),
        ([(0x61, 0xDABC)], ((0x61, 0xD7FF),)),
        ([(0xDABC, 0xF000)], ((0xE000, 0xF000),)),
        ([(0xD800, 0xDFFF)], ()),
        ([(0, 0x10FFFF)], None),
        ([(0, 0xD7FF), (0xE000, 0x10FFFF)], None),
    ],
)
def test_ranges_are_sorted_merged_and_without_surrogates(ranges, merged):
    assert char_class(ranges) == (ANY if merged is None else CharClass(merged))
    assert char_class(ranges, negated=True) == (
        NOTHING if merged is None else CharClass(merged, negated=True)
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: alternation(),
        lambda: repeat(A, -1),
        lambda: repeat(A, 3, 2),
        lambda: char_class([(9, 5)]),
        lambda: char_class([(0, 0x110000)]),
    ],
)
def test_what_has_no_meaning_is_refused(build):
    with pytest.raises(ValueError, match=r"alternation|repetitions|code points"):
        build()


def test_parts_are_what_a_node_is_made_of():
    assert parts(Sequence((A, B))) == parts(Alternation((A, B))) == (A, B)
    assert parts(Repeat(A, 0, 1)) == (A,)
    assert parts(A) == parts(B) == parts(C) == ()


def test_any_tree_becomes_normal():
    odd: Node = Sequence(
        (
            Sequence((A, Literal(""))),
            Alternation((Alternation((B, C)), Repeat(Repeat(B, 0, 1), 1, None))),
            Alternation((CharClass(((7, 9), (8, 8), (1, 2))),)),
        )
    )
    assert normal(odd) == Sequence(
        (A, Alternation((B, C, Repeat(B, 0, None))), CharClass(((1, 2), (7, 9))))
    )


def test_depth_does_not_matter():
    deep: Node = A
    for _ in range(20_000):
        deep = Sequence((deep,))
    assert normal(deep) == A
