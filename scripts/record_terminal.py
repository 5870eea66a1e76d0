"""Records commands in a terminal: what they print and when, as an asciicast and a moving SVG.

    pip install pyte
    python scripts/record_terminal.py scripts/recordings/from-adapter-to-answer.sh docs

writes ``docs/from-adapter-to-answer.cast`` (asciicast v2, for asciinema), and ``….svg``. A scenario
is a list of shell commands: each is shown as if it were typed, and runs in a real pseudo-terminal.
Lines that begin with ``#:`` prepare the stage and are not shown; other comments are. ``$STAGE`` is
an empty folder where everything happens, ``$PROJECT`` the root of the project.

Nothing is edited but time and paths: a pause of more than a second is shown as one second, and
the folders of this machine as ``~``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pty
import select
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyte

COLUMNS, ROWS = 100, 28
ROOT = Path(__file__).resolve().parents[1]

TYPING_S = 0.03
"""Between two letters that are typed."""

LONGEST_PAUSE_S = 1.0
"""Of what a command takes longer, this much is shown."""

AFTER_COMMAND_S = 1.2
LAST_S = 4.0

PROMPT = "\x1b[1;32m$\x1b[0m "


@dataclass(frozen=True)
class Event:
    """Bytes that reached the terminal, and seconds since the beginning."""

    at: float
    text: str


@dataclass(frozen=True)
class Frame:
    """What the screen shows from ``at`` on: its lines, each of pieces of (column, text, style)."""

    at: float
    lines: tuple[tuple[tuple[int, str, str], ...], ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as stage:
        events = record(arguments.scenario.read_text("utf-8").splitlines(), Path(stage))
    place = arguments.folder / arguments.scenario.stem
    place.with_suffix(".cast").write_text(asciicast(events), "utf-8")
    place.with_suffix(".svg").write_text(svg(frames(events)), "utf-8")


def record(lines: list[str], stage: Path) -> list[Event]:
    """Run the scenario; raises SystemExit if a command fails."""
    environment = {
        **os.environ,
        "STAGE": str(stage),
        "PROJECT": str(ROOT),
        "HOME": str(stage / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "xterm-256color",
        "COLUMNS": str(COLUMNS),
        "LINES": str(ROWS),
        "HF_HUB_OFFLINE": "1",
    }
    for name in [name for name in environment if name.startswith(("HIVELLM_", "VIRTUAL_ENV"))]:
        del environment[name]
    (stage / "home").mkdir()
    (stage / "work").mkdir()
    events: list[Event] = []
    clock = 0.0
    for line in lines:
        if line.startswith("#:"):
            hidden = line[2:].strip()
            if hidden.startswith("export "):
                name, _, value = hidden.removeprefix("export ").partition("=")
                environment[name] = os.path.expandvars(
                    value.replace("$STAGE", str(stage)).replace("$PROJECT", str(ROOT))
                )
            else:
                subprocess.run(hidden, shell=True, check=True, cwd=stage / "work", env=environment)
            continue
        if not line.strip():
            continue
        clock = typed(events, clock, line)
        if not line.startswith("#"):
            clock = run(events, clock, line, stage, environment)
            clock += AFTER_COMMAND_S
    return [*events, Event(clock + LAST_S, "")]


def typed(events: list[Event], clock: float, line: str) -> float:
    """The prompt and a line that is typed after it."""
    events.append(Event(clock, PROMPT))
    clock += 0.3
    for letter in line:
        clock += TYPING_S
        events.append(Event(clock, letter))
    clock += 0.2
    events.append(Event(clock, "\r\n"))
    return clock


def run(
    events: list[Event], clock: float, line: str, stage: Path, environment: dict[str, str]
) -> float:
    """Run one line in a pseudo-terminal."""
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", str(ROWS), "cols", str(COLUMNS)], stdin=theirs, check=True)
    child = subprocess.Popen(
        ["bash", "-c", line],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=stage / "work",
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    before = time.monotonic()
    shown = ""
    while True:
        ready, _, _ = select.select([ours], [], [], 0.1)
        now = time.monotonic()
        if ready:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the child closed its side
                data = b""
            if not data:
                break
            clock += min(now - before, LONGEST_PAUSE_S)
            before = now
            text = data.decode("utf-8", "replace").replace(str(stage / "home"), "~")
            text = text.replace(f"{stage}/work/", "").replace(str(stage), "~")
            text = text.replace(str(ROOT), "~/hivellm-lite")
            shown += text
            events.append(Event(clock, text))
        elif child.poll() is not None:
            break
    os.close(ours)
    if child.wait() != 0:
        raise SystemExit(f"{shlex.quote(line)} failed:\n{shown}")
    return clock


def asciicast(events: list[Event]) -> str:
    """The events as asciicast v2 (docs.asciinema.org/manual/asciicast/v2)."""
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "env": {"TERM": "xterm-256color"}}
    lines = [json.dumps(head)]
    lines += [json.dumps([round(one.at, 3), "o", one.text]) for one in events if one.text]
    return "\n".join(lines) + "\n"


# --- the picture ---------------------------------------------------------------------


def frames(events: list[Event]) -> list[Frame]:
    """The screens, each where something new is seen; at most twenty a second."""
    import pyte  # not needed to record

    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    found: list[Frame] = []
    for number, event in enumerate(events):
        stream.feed(event.text)
        if number + 1 < len(events) and events[number + 1].at - event.at < 0.05:
            continue
        lines = tuple(_pieces(screen, row) for row in range(ROWS))
        if not found or found[-1].lines != lines:
            found.append(Frame(event.at, lines))
    return [*found, Frame(events[-1].at, found[-1].lines)]


def _pieces(screen: pyte.Screen, row: int) -> tuple[tuple[int, str, str], ...]:
    """The runs of equal style in a row, without blanks at its end."""
    pieces: list[tuple[int, str, str]] = []
    line = screen.buffer[row]
    for column in range(COLUMNS):
        cell = line[column]
        style = " ".join(
            name
            for name, given in (
                ("b", cell.bold),
                ("r", cell.reverse),
                (cell.fg if cell.fg in ("green", "red", "blue", "cyan") else "", True),
            )
            if given and name
        )
        if pieces and pieces[-1][2] == style:
            start, text, _ = pieces[-1]
            pieces[-1] = (start, text + cell.data, style)
        else:
            pieces.append((column, cell.data, style))
    stripped = [(start, text.rstrip(), style) for start, text, style in pieces]
    return tuple(piece for piece in stripped if piece[1])


CELL_X, CELL_Y = 8.4, 18.0

STYLE = """
svg { --ground: #fbfaf7; --ink: #26292e; --dim: #d9d6cd; --green: #1f7a3d; --red: #b3261e; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #16181d; --ink: #e4e6eb; --dim: #30343c; --green: #6fcf8a; --red: #f2938c; }
}
text { font: 14px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: var(--ink);
  white-space: pre; }
.b { font-weight: bold } .green { fill: var(--green) } .red { fill: var(--red) }
.f { visibility: hidden; animation: var(--total) steps(1) infinite }
"""


def svg(screens: list[Frame]) -> str:
    """The screens one after the other, for ever; light or dark as the reader's system is."""
    total = screens[-1].at
    width, height = COLUMNS * CELL_X + 32, ROWS * CELL_Y + 48
    symbols: dict[tuple[tuple[int, str, str], ...], str] = {}
    rules, groups = [], []
    for number, (screen, after) in enumerate(itertools.pairwise(screens)):
        begin, end = 100 * screen.at / total, 100 * after.at / total
        shown = "visibility: visible"
        rules.append(
            f"@keyframes k{number} {{ 0% {{ visibility: hidden }} {begin:.3f}% {{ {shown} }} "
            f"{end:.3f}% {{ visibility: hidden }} }}\n"
            if number
            else f"@keyframes k0 {{ 0% {{ {shown} }} {end:.3f}% {{ visibility: hidden }} }}\n"
        )
        rows = []
        for row, line in enumerate(screen.lines):
            if line:
                name = symbols.setdefault(line, f"l{len(symbols)}")
                rows.append(f'<use href="#{name}" y="{row * CELL_Y:g}"/>')
        last = number + 2 == len(screens)
        style = f"animation-name: k{number}" + ("; visibility: visible" if last else "")
        groups.append(f'<g class="f" style="{style}">{"".join(rows)}</g>\n')
    defined = "".join(f'<g id="{name}">{_text(line)}</g>\n' for line, name in symbols.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">\n'
        f"<style>{STYLE}svg {{ --total: {total:.2f}s }}\n"
        "@media (prefers-reduced-motion) { .f { animation: none } }\n"
        f"{''.join(rules)}</style>\n<defs>\n{defined}</defs>\n"
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="var(--ground)" '
        'stroke="var(--dim)"/>\n'
        '<circle cx="20" cy="16" r="5" fill="var(--dim)"/>'
        '<circle cx="38" cy="16" r="5" fill="var(--dim)"/>'
        '<circle cx="56" cy="16" r="5" fill="var(--dim)"/>\n'
        f'<g transform="translate(16 44)">\n{"".join(groups)}</g>\n</svg>\n'
    )


def _text(line: tuple[tuple[int, str, str], ...]) -> str:
    return "".join(
        f'<text x="{start * CELL_X:g}" textLength="{len(text) * CELL_X:g}"'
        + (f' class="{style}"' if style else "")
        + f">{escape(text, quote=False)}</text>"
        for start, text, style in line
    )


if __name__ == "__main__":
    main()
