"""Draw the rooms of the package and their imports as ``docs/rooms.svg``.

Usage: ``python scripts/draw_rooms.py`` (``--table`` prints the table of ``tests/test_rooms.py``)

A room is a folder of ``hivellm_lite``, or a module beside these folders. The folders and modules of
``converters`` are rooms too: the engine is built on some of them, and others on the engine. Imports
within functions and for type checkers count. Rooms that nearly all others import are not drawn, and
neither is an import that a chain of others implies.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "rooms.svg"
PACKAGE = "hivellm_lite"
FOLDERS = {PACKAGE: ROOT / PACKAGE, f"{PACKAGE}.converters": ROOT / "converters"}

HOUSES = ("converters",)
"""Folders whose own folders and modules are rooms."""

EVERYWHERE = ("errors", "lazy", "progress")
"""Rooms that are not drawn, as nearly all others import them."""

COLOURS = {
    "#7a5195": (
        "cli",
        "gradio",
        "integrations",
        "server",
        "doctor",
        "verification",
        "terminal_text",
        "expert",
        "manager",
        "residency",
    ),
    "#2f6f9f": (
        "loading",
        "adapters",
        "bases",
        "hub",
        "sources",
        "package",
        "manifest",
        "archive",
        "cache",
        "storage",
    ),
    "#2a8a57": ("requests", "prompts", "chat_templates", "inference", "routing", "sampling"),
    "#b3541e": ("gbnf", "json_schema", "strict_json", "tokenization"),
    "#8a6d1d": ("engine", "process", "hardware", "memory_estimate", "user_paths"),
}
CONVERTERS = "#a03a5c"

LINE, CHARACTER, MARGIN, WIDTH = 78, 7.4, 24, 1180


def modules() -> dict[str, Path]:
    """All modules of the package by their dotted names."""
    found = {}
    for prefix, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([prefix, *(part for part in parts if part != "__init__")])] = path
    return found


def imports_of(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a module imports, wherever in its text."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in known else module


def room_of(module: str) -> str:
    """The room that a module belongs to; empty for the package's own ``__init__``."""
    parts = module.split(".")[1:]
    depth = 2 if parts and parts[0] in HOUSES else 1
    return ".".join(parts[:depth])


def rooms() -> dict[str, set[str]]:
    """Every room with the rooms that it imports. The public faces ``hivellm_lite`` and
    ``hivellm_lite.converters``, which import lazily from everywhere, are left out.
    """
    known = modules()
    faces = {"", *HOUSES}
    found: dict[str, set[str]] = {
        room: set() for room in map(room_of, known) if room not in faces and room[0] != "_"
    }
    for name, path in known.items():
        room = room_of(name)
        if room in found:
            targets = {room_of(target) for target in imports_of(name, path, known)}
            found[room] |= {target for target in targets - {room} if target in found}
    return dict(sorted(found.items()))


def ordered(graph: Mapping[str, set[str]]) -> list[str]:
    """Rooms from the top floor down, each above all that it imports.

    Raises graphlib.CycleError, which names the rooms, where they import each other in a circle.
    """
    TopologicalSorter(graph).prepare()
    heights = floors(graph)
    return sorted(graph, key=lambda room: (-heights[room], room))


def floors(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest room that it imports."""
    heights: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        heights[room] = max((heights[below] + 1 for below in graph[room]), default=0)
    return heights


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The graph without the edges that a longer way implies."""
    reach: dict[str, set[str]] = {}
    for room in TopologicalSorter(graph).static_order():
        reach[room] = set(graph[room]).union(*(reach[below] for below in graph[room]))
    return {
        room: {
            below
            for below in targets
            if not any(below in reach[other] for other in targets if other != below)
        }
        for room, targets in graph.items()
    }


def table(graph: Mapping[str, set[str]]) -> str:
    """One line a room, from the top floor down: its name, and what it imports."""
    width = max(map(len, graph)) + 1
    lines = []
    for room in ordered(graph):
        line = f"{room:{width}}:"
        for below in sorted(graph[room]):
            if len(line) + len(below) > 98:
                lines.append(line)
                line = " " * width + " "
            line += f" {below}"
        lines.append(line)
    return "\n".join(lines)


def render() -> str:
    """The picture as SVG text."""
    graph = {
        room: targets.difference(EVERYWHERE)
        for room, targets in rooms().items()
        if room not in EVERYWHERE
    }
    lines = reduced(graph)
    heights = _raised(lines)
    rows = _sorted_rows(lines, heights)
    boxes = {}
    for height, row in enumerate(reversed(rows)):
        widths = [len(room) * CHARACTER + 18 for room in row]
        gap = (WIDTH - 2 * MARGIN - sum(widths)) / (len(row) + 1)
        x, y = MARGIN + gap, MARGIN + 40 + height * LINE
        for room, width in zip(row, widths, strict=True):
            boxes[room] = (x, y, width)
            x += width + gap
    tall = MARGIN * 2 + 40 + len(rows) * LINE - 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
        "<title>The rooms of hivellm_lite and their imports</title>",
        f'<rect width="{WIDTH}" height="{tall}" rx="8" fill="#fbfaf7"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 8}" fill="#444">A line: the upper room imports the lower '
        "one. Imports that a longer way implies are left out, as are "
        f"{', '.join(EVERYWHERE[:-1])} and {EVERYWHERE[-1]}.</text>",
    ]
    for room, targets in sorted(lines.items()):
        x, y, width = boxes[room]
        for below in sorted(targets):
            to_x, to_y, to_width = boxes[below]
            start, end = x + width / 2, to_x + to_width / 2
            parts.append(
                f'<path d="M{start:.0f} {y + 26:.0f} C{start:.0f} {y + 58:.0f} {end:.0f} '
                f'{to_y - 32:.0f} {end:.0f} {to_y:.0f}" fill="none" stroke="{_colour(room)}" '
                'stroke-opacity="0.55" stroke-width="1.3"/>'
            )
    for room, (x, y, width) in sorted(boxes.items()):
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="26" rx="5" '
            f'fill="{_colour(room)}"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + 17:.0f}" text-anchor="middle" '
            f'fill="#fff">{room}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _raised(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room in the picture: right below the lowest room that imports it."""
    heights = floors(graph)
    importers: dict[str, list[str]] = {room: [] for room in graph}
    for room, targets in graph.items():
        for below in targets:
            importers[below].append(room)
    for room in reversed(list(TopologicalSorter(graph).static_order())):
        if importers[room]:
            heights[room] = min(heights[one] for one in importers[room]) - 1
    return heights


def _sorted_rows(lines: Mapping[str, set[str]], heights: Mapping[str, int]) -> list[list[str]]:
    """The rooms of each floor, from the bottom up, placed so that few lines cross."""
    rows: list[list[str]] = [[] for _ in range(max(heights.values()) + 1)]
    for room in sorted(heights):
        rows[heights[room]].append(room)
    above: dict[str, set[str]] = {room: set() for room in lines}
    for room, targets in lines.items():
        for below in targets:
            above[below].add(room)
    for _ in range(8):
        place = {
            room: (index + 1) / (len(row) + 1) for row in rows for index, room in enumerate(row)
        }
        for row in rows:
            row.sort(key=lambda room: (_mean(place, [*lines[room], *above[room]], room), room))
    return rows


def _mean(place: Mapping[str, float], others: Iterable[str], room: str) -> float:
    values = [place[other] for other in others]
    return round((sum(values) + place[room]) / (len(values) + 1), 9)


def _colour(room: str) -> str:
    if room.startswith(HOUSES):
        return CONVERTERS
    return next((colour for colour, named in COLOURS.items() if room in named), "#666")


if __name__ == "__main__":
    if "--table" in sys.argv:
        print(table(rooms()))
    else:
        PICTURE.write_text(render(), "utf-8")
