"""Rules for numbers between bounds are exact at every edge."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from hivellm_lite.gbnf.build import NOTHING
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.json_schema.numbers.nodes import number_node
from hivellm_lite.json_schema.shapes import Number


def spellings(value: Fraction) -> list[str]:
    text = format(Decimal(value.numerator) / Decimal(value.denominator), "f")
    return [text, text + "0" if "." in text else text + ".0"]


def near(rng: Random, bounds: list[Fraction], places: int) -> set[Fraction]:
    unit = Fraction(1, 10**places)
    steps = [k * unit * 10**power for k in (-1, 0, 1) for power in range(4)]
    found = {bound + step for bound in [*bounds, Fraction(0)] for step in steps}
    return found | {Fraction(rng.randint(-(10**5), 10**5), 10**places) for _ in range(10)}


def test_integers_are_exact_at_every_edge():
    rng = Random(1)
    for _ in range(120):
        size = rng.choice([12, 120, 12345])
        low, high = sorted(Fraction(rng.randint(-size, size)) for _ in range(2))
        shape = Number(
            rng.choice([None, low, low]), rng.choice([None, high]), rng.random() < 0.3, integer=True
        )
        recogniser = Recogniser(Grammar({"root": number_node(shape)}))
        for value in near(rng, [low, high], 0):
            assert recogniser.recognise(str(value)) == shape.admits(value), (shape, value)


def test_decimals_are_exact_at_every_edge():
    rng = Random(2)
    for _ in range(60):
        low, high = sorted(
            Fraction(rng.randint(-3000, 3000), 10 ** rng.randint(0, 3)) for _ in range(2)
        )
        shape = Number(
            rng.choice([None, low, low]),
            rng.choice([None, high, high]),
            rng.random() < 0.3,
            rng.random() < 0.3,
        )
        recogniser = Recogniser(Grammar({"root": number_node(shape)}))
        for value in near(rng, [low, high], 3):
            for text in spellings(value):
                assert recogniser.recognise(text) == shape.admits(value), (shape, text)


@pytest.mark.parametrize("integer", [True, False])
def test_no_number_in_an_empty_range(integer):
    shape = Number(Fraction(1), Fraction(1), lower_open=True, integer=integer)
    assert number_node(shape) == NOTHING


@pytest.mark.parametrize("text", ["01", "+1", "1.", ".5", "-", "1e5", "1E2", "- 1", "00", ""])
def test_bounded_numbers_are_json_without_exponent(text):
    node = number_node(Number(Fraction(-10), Fraction(10**6)))
    assert not Recogniser(Grammar({"root": node})).recognise(text)


def test_a_divisor_without_a_rule_gives_none():
    assert number_node(Number(integer=True, multiple_of=Fraction(7))) is None
    assert number_node(Number(multiple_of=Fraction(1, 3))) is None


def test_power_of_ten_divisors_need_no_bounds():
    tens = Recogniser(Grammar({"root": number_node(Number(None, None, multiple_of=Fraction(100)))}))
    cents = Recogniser(Grammar({"root": number_node(Number(multiple_of=Fraction(1, 100)))}))
    assert [t for t in ("0", "100", "-2300", "10", "5") if tens.recognise(t)] == [
        "0",
        "100",
        "-2300",
    ]
    assert [t for t in ("0", "1.25", "-0.5", "0.125") if cents.recognise(t)] == [
        "0",
        "1.25",
        "-0.5",
    ]
