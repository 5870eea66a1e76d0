"""One picture of all measurements. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .comparison import Comparison, Measurement, Scaling, readable

OURS, THEIRS = "#2563eb", "#9ca3af"
COLUMNS = 2
LOGARITHMIC_FROM = 20.0
"""Largest over smallest value from which on bars have a logarithmic axis."""


def draw(measurements: Sequence[Measurement], path: Path) -> None:
    """Write the picture; its kind is that of the file's name."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = math.ceil(len(measurements) / COLUMNS)
    heights = [
        max(_height(one) for one in measurements[row * COLUMNS : (row + 1) * COLUMNS])
        for row in range(rows)
    ]
    figure, axes = pyplot.subplots(
        rows,
        COLUMNS,
        figsize=(8 * COLUMNS, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axis, one in zip(axes.flat, measurements, strict=False):
        if isinstance(one, Scaling):
            _lines(axis, one)
        else:
            _bars(axis, one)
        axis.set_title(one.title, fontsize=10, loc="left", wrap=True)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(measurements) :]:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _height(measured: Measurement) -> float:
    return 4.0 if isinstance(measured, Scaling) else 1.3 + 0.36 * len(measured.series)


def _bars(axis: Any, measured: Comparison) -> None:
    """Medians as bars, with the middle half of the values as a line."""
    names = [series.name for series in measured.series]
    medians = [series.median for series in measured.series]
    spread = [
        (series.median - series.quartiles[0], series.quartiles[1] - series.median)
        for series in measured.series
    ]
    colours = [OURS if _is_ours(name, names) else THEIRS for name in names]
    places = range(len(names))
    axis.barh(
        places,
        medians,
        xerr=list(zip(*spread, strict=True)),
        color=colours,
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(measured.unit, fontsize=8)
    if max(medians) > LOGARITHMIC_FROM * min(medians) > 0:
        axis.set_xscale("log")
        axis.set_xlim(min(medians) / 2, max(medians) * 3)
    else:
        axis.set_xlim(0, max(m + high for m, (_, high) in zip(medians, spread, strict=True)) * 1.15)
    for place, series in zip(places, measured.series, strict=True):
        axis.annotate(
            readable(series.median),
            (series.quartiles[1], place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )


def _is_ours(name: str, names: Sequence[str]) -> bool:
    own = [one for one in names if one.startswith("hivellm-lite")]
    return not own or name in own


def _lines(axis: Any, measured: Scaling) -> None:
    for number, series in enumerate(measured.series):
        axis.plot(
            measured.counts,
            series.values,
            marker="o",
            color=OURS if number == 0 else THEIRS,
            linestyle=("-", "--", ":")[number % 3],
            label=series.name,
        )
    axis.set_ylim(bottom=0)
    axis.set_xticks(measured.counts)
    axis.set_xlabel(measured.counted, fontsize=8)
    axis.set_ylabel(measured.unit, fontsize=8)
    axis.legend(fontsize=8, frameon=False)
