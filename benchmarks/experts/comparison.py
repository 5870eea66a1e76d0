"""What a measurement found: one series of values for each way to do the same thing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..table import show


@dataclass(frozen=True)
class Series:
    """The values of one way, one for each repetition."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The values between which the middle half lies."""
        if len(self.values) < 2:
            return self.median, self.median
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high


@dataclass(frozen=True)
class Goal:
    """What a value shall be at most, or at least."""

    text: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        """The verdict with its number."""
        wanted = f"{'≤' if self.at_most else '≥'} {self.bound:g}"
        verdict = "met" if self.met else "MISSED"
        return f"goal {verdict}: {self.text}: {readable(self.value)} (shall be {wanted})"


@dataclass(frozen=True)
class Comparison:
    """Repetitions of each way, all in ``unit``; the first way is the one compared with."""

    title: str
    unit: str
    series: tuple[Series, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scaling:
    """One value of each way for every count, all in ``unit``."""

    title: str
    unit: str
    counted: str
    counts: tuple[int, ...]
    series: tuple[Series, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()


Measurement = Comparison | Scaling


def medians_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """How many times as large as ``one`` the other is."""
    return statistics.median(other) / statistics.median(one)


def readable(value: float) -> str:
    """Three digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show_measurement(measured: Measurement) -> None:
    """Print the table, the goals and the notes."""
    if isinstance(measured, Scaling):
        _show_scaling(measured)
    else:
        _show_comparison(measured)
    for goal in measured.goals:
        print(f"  {goal}")
    for note in measured.notes:
        print(f"  {note}")


def _show_comparison(measured: Comparison) -> None:
    first = measured.series[0].values
    rows = []
    for series in measured.series:
        low, high = series.quartiles
        rows.append(
            (
                series.name,
                readable(series.median),
                f"{readable(low)} to {readable(high)}",
                str(len(series.values)),
                f"{medians_ratio(first, series.values):.2f}",
            )
        )
    header = ("", measured.unit, "middle half", "runs", "times the first")
    show(measured.title, header, rows)


def _show_scaling(measured: Scaling) -> None:
    own = measured.series[0].values
    header = ["", *(f"{count} {measured.counted}" for count in measured.counts)]
    rows = []
    for series in measured.series:
        cells = [readable(value) for value in series.values]
        if series is not measured.series[0]:
            ratios = (value / mine for value, mine in zip(series.values, own, strict=True))
            cells = [f"{cell} ({ratio:.2f}×)" for cell, ratio in zip(cells, ratios, strict=True)]
        rows.append([series.name, *cells])
    show(f"{measured.title} ({measured.unit})", header, rows)
