"""States in host memory: their limit, and what a longer state makes superfluous."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hivellm_lite.inference.parked import Parked, ParkedStates, common_prefix

A, B = (("a", 1.0),), (("b", 1.0),)


@dataclass
class Bytes:
    """As much of a state as its limit needs to know."""

    nbytes: int


def parked(*tokens, applied=A, n_bytes=10, last_used=0):
    return Parked(applied, tokens, len(tokens), Bytes(n_bytes), last_used)


def test_the_least_recently_used_states_are_dropped_first():
    states = ParkedStates(limit=30)
    held = [parked(n, last_used=n) for n in (2, 1, 3)]
    for one in held:
        states.add(one)
    states.add(parked(4, n_bytes=20, last_used=4))
    assert [one.tokens for one in states] == [(3,), (4,)]
    assert (states.n_bytes, states.n_dropped) == (30, 2)


def test_a_state_replaces_the_states_that_it_continues():
    states = ParkedStates(limit=100)
    for one in (parked(1, 2), parked(1, 3), parked(1, 2, applied=B), parked(1, 2, 5)):
        states.add(one)
    assert [(one.tokens, one.applied) for one in states] == [
        ((1, 3), A),
        ((1, 2), B),
        ((1, 2, 5), A),
    ]
    assert (states.n_bytes, states.n_dropped) == (30, 0)


def test_a_state_that_is_larger_than_the_limit_is_not_held():
    states = ParkedStates(limit=30)
    states.add(parked(1, n_bytes=31))
    assert (list(states), states.n_bytes) == ([], 0)


def test_what_an_adapter_computed_is_forgotten_with_it():
    states = ParkedStates(limit=100)
    adapters = object(), object()
    for adapter in adapters:
        states.add(parked(1, applied=((adapter, 1.0),)))
    states.forget(adapters[0])
    assert [one.applied[0][0] for one in states] == [adapters[1]]


@pytest.mark.parametrize(
    ("held", "tokens", "limit", "shared"),
    [
        ([], [1], 5, 0),
        ([1, 2, 3], [1, 2, 4], 5, 2),
        ([1, 2, 3], [1, 2, 3, 4], 5, 3),
        ([1, 2, 3], [1, 2, 3], 2, 2),
        ([2], [1], 5, 0),
    ],
)
def test_the_common_prefix(held, tokens, limit, shared):
    assert common_prefix(held, tokens, limit) == shared
