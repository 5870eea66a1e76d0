"""What a change of adapters costs, from the times of decodes."""

from __future__ import annotations

import pytest

from hivellm_lite.inference.costs import StepCosts
from hivellm_lite.inference.turns import (
    FAIR_WAIT,
    LEAST_STEPS,
    LONGEST_TURN,
    SWAPPING,
    SWAPPING_AT_MOST,
    turn_length,
)


def turn(costs, first, second, usual=0.002, n=6):
    for place, call in enumerate([first, second, *[usual] * n]):
        costs.add(place, call, call)


def test_a_swap_costs_what_the_first_decodes_take_beyond_the_usual_one():
    costs = StepCosts(12.0)
    turn(costs, 0.5, 0.5)  # nothing is usual yet
    for _ in range(5):
        turn(costs, 0.021, 0.012)
    assert costs.swap == pytest.approx(0.029)
    assert costs.step == pytest.approx(0.002)


def test_without_measurements_a_swap_is_so_many_steps():
    costs = StepCosts(12.0)
    for _ in range(4):
        costs.add(7, 0.003, 0.003)
    assert costs.swap == pytest.approx(0.036)


def test_turns_that_end_early_measure_nothing():
    costs = StepCosts(2.0)
    turn(costs, 0.01, 0.01)
    for _ in range(9):
        costs.add(0, 5.0, 5.0)
        costs.add(2, 0.002, 0.002)  # the one between was a prompt
    assert costs.swap == pytest.approx(2 * 0.002)


def test_a_single_measurement_is_not_believed():
    costs = StepCosts(2.0)
    turn(costs, 0.5, 0.5)
    turn(costs, 5.0, 5.0)
    assert costs.swap == pytest.approx(2 * 0.002)


def test_a_cheap_swap_makes_short_turns():
    assert turn_length(0.0, 0.005, 3) == LEAST_STEPS
    assert turn_length(0.001, 0.005, 3) == LEAST_STEPS


def test_a_dear_swap_makes_turns_in_which_it_takes_little():
    n = turn_length(0.010, 0.002, 1)
    assert 0.010 / (0.010 + n * 0.002) == pytest.approx(SWAPPING, rel=0.05)


def test_no_turn_takes_for_ever():
    assert turn_length(1.0, 0.002, 1) * 0.002 == pytest.approx(LONGEST_TURN)


def test_many_others_do_not_wait_for_ever():
    swap, step = 0.034, 0.003
    assert turn_length(swap, step, 1) * step == pytest.approx(FAIR_WAIT, rel=0.02)
    n = turn_length(swap, step, 20)
    assert swap / (swap + n * step) == pytest.approx(SWAPPING_AT_MOST, rel=0.05)
