"""Draws docs/figures.svg: three comparisons of docs/performance.md as bars, light and dark.

    python scripts/draw_figures.py

The numbers are read from the page's table, so the picture cannot differ from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "figures.svg"

WIDTH, ROW, LEFT, BAR = 880, 30, 270, 470

STYLE = """\
text { font: 14px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note { fill: #59636e; font-size: 12px }
.ours { fill: #0969da }
.other { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note { fill: #9198a1 }
  .ours { fill: #4493f8 }
  .other { fill: #59636e }
}"""


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    shown: str


@dataclass(frozen=True)
class Figure:
    title: str
    note: str
    bars: tuple[Bar, ...]


def figures(page: str) -> tuple[Figure, ...]:
    """The three figures. Raises ValueError where the table no longer says what is drawn."""
    grammar = row(page, "whole answers with a grammar")
    ours, theirs = numbers(grammar[1])[0], numbers(grammar[2])[0]
    switch = row(page, "first token, two experts in turn, 1,030 tokens each")
    size = row(page, "installed, dependencies included")
    slots = numbers(switch[2])
    return (
        Figure(
            "Speed with an SQL grammar",
            "share of the speed without one; more is better",
            (
                Bar("hivellm-lite", ours, f"{ours:.1%}"),
                Bar("llama_cpp.Llama", theirs, f"{theirs:.1%}"),
            ),
        ),
        Figure(
            "First token after another expert",
            "seconds, prompts of 1,030 tokens in turn; less is better",
            (
                Bar("hivellm-lite", numbers(switch[1])[0], f"{numbers(switch[1])[0]:g} s"),
                Bar("llama-server, a slot each", slots[2], f"{slots[2]:g} s"),
                Bar("llama_cpp.Llama", slots[0], f"{slots[0]:g} s"),
            ),
        ),
        Figure(
            "Installed",
            "megabytes with everything that is needed; less is better",
            (
                Bar("hivellm-lite", numbers(size[1])[0], f"{numbers(size[1])[0]:.0f} MB"),
                Bar(
                    "torch + transformers + peft",
                    numbers(size[2])[0],
                    f"{numbers(size[2])[0]:.0f} MB",
                ),
            ),
        ),
    )


def row(page: str, begins: str) -> list[str]:
    """The cells of a row of the page's table."""
    for line in page.splitlines():
        if line.startswith(f"| {begins}"):
            return [cell.strip() for cell in line.strip("|").split(" | ")]
    raise ValueError(f"{PAGE.name} has no row '{begins}'")


def numbers(cell: str) -> list[float]:
    return [float(one) for one in re.findall(r"(?<![\w-])\d+(?:\.\d+)?", cell)]


def render() -> str:
    """The picture."""
    parts, y = [], 10
    for figure in figures(PAGE.read_text("utf-8")):
        y += 20
        parts.append(f'<text x="10" y="{y}" class="title">{escape(figure.title)}</text>')
        parts.append(f'<text x="{LEFT}" y="{y}" class="note">{escape(figure.note)}</text>')
        longest = max(bar.value for bar in figure.bars)
        for place, bar in enumerate(figure.bars):
            y += ROW
            width = max(2.0, BAR * bar.value / longest)
            kind = "other" if place else "ours"
            parts += [
                f'<text x="{LEFT - 12}" y="{y}" text-anchor="end">{escape(bar.name)}</text>',
                f'<rect x="{LEFT}" y="{y - 14}" width="{width:.1f}" height="18" class="{kind}"/>',
                f'<text x="{LEFT + width + 8:.1f}" y="{y}">{escape(bar.shown)}</text>',
            ]
        y += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(render(), "utf-8")
