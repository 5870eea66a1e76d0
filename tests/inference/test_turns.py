"""Whose adapters are computed with next."""

from __future__ import annotations

from hivellm_lite.inference.turns import Turns

QUANTUM = 8

# what applies together is a key here, and no more
BASE, A, B = (), (("a", 1.0),), (("b", 1.0),)


def test_adapters_that_are_wanted_alone_keep_their_turn():
    turns = Turns(lambda _: QUANTUM)
    assert [turns.next([A]) for _ in range(3 * QUANTUM)] == [A] * (3 * QUANTUM)
    assert turns.n_swaps == 1


def test_others_get_their_turn_after_some_steps():
    turns = Turns(lambda _: QUANTUM)
    taken = [turns.next([A, B]) for _ in range(4 * QUANTUM)]
    assert taken == ([A] * QUANTUM + [B] * QUANTUM) * 2
    assert turns.n_swaps == 4


def test_the_ones_that_waited_longest_come_first():
    turns = Turns(lambda _: QUANTUM)
    taken = [turns.next([BASE, A, B]) for _ in range(6 * QUANTUM)][::QUANTUM]
    assert taken == [BASE, A, B, BASE, A, B]


def test_a_turn_ends_when_nothing_is_wanted_of_it():
    turns = Turns(lambda _: QUANTUM)
    assert [turns.next(wanted) for wanted in ([A, B], [B], [A, B])] == [A, B, B]


def test_forgotten_adapters_are_like_new_ones():
    turns = Turns(lambda _: QUANTUM)
    turns.next([A])
    turns.forget()
    assert turns.next([B, A]) == B
