"""The code blocks of a page, and what is said about running them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LANGUAGES", "Block", "blocks_of"]

LANGUAGES = {
    "python": "is run; what a block after it in ``output`` says is what it prints",
    "sh": "is run by bash and must end well",
    "console": "each line after ``$ `` is run, and prints what follows, on stdout or stderr",
    "output": "what the block before it prints; ``…`` is anything",
    "text": "is read",
    "toml": "is read",
    "json": "is read",
    "jsonl": "is read",
    "gbnf": "is read",
}
"""Every language that a block may name, and what the tests do with the block."""

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run|file): (?P<about>.+?) -->\n+)?"
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\s`]*)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """``not_run``: the reason why it is only read. ``file``: where its text is written to."""

    line: int
    language: str
    text: str
    not_run: str | None = None
    file: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """All blocks but MyST's directives.

    ``<!-- not run: REASON -->`` before a block keeps it from being run; ``<!-- file: NAME -->``
    writes it to a file, where blocks after it find it.
    """
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        if match["language"].startswith("{"):
            continue
        indent = len(match["indent"])
        lines = [line[indent:] for line in match["text"].splitlines(keepends=True)]
        about = {"not run": "not_run", "file": "file"}.get(match["mark"] or "")
        found.append(
            Block(
                text.count("\n", 0, match.start("fence")) + 1,
                match["language"],
                "".join(lines),
                **({about: match["about"]} if about else {}),
            )
        )
    return found
