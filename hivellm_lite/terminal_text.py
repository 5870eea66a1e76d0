r"""Makes text from strangers safe for a terminal.

A terminal obeys what it receives: escape sequences move the cursor, rewrite lines, set the window's
title or type on the keyboard; bidirectional controls change the order in which a text appears.
Packages, hubs and models can write such text. Every such character becomes a visible escape, as
Python writes it: ``\x1b``, ``\u202e``.

Each character is judged alone, so a sequence cannot pass by being split over two pieces of a
streamed answer.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["MAX_LINES", "bounded", "json_text", "one_line", "printable"]

MAX_LINE = 1_000
"""Characters of one line of a message."""

MAX_LINES = 40
"""Lines of one message."""

MAX_FIELD = 300
"""Characters of one field of a line, such as a name."""

_HARMFUL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls
    "\u2028\u2029"  # line and paragraph separators
    "\u180e\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible, or deprecated controls
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # invisible controls of notations
    "\U000e0000-\U000e0fff"  # tags: text that nobody sees
    "\ud800-\udfff"  # halves of characters, which no encoding has
)
"""Joiners and variation selectors stay: emoji, Persian and Hindi need them."""

_IN_TEXT = re.compile(f"[{_HARMFUL}]")
_IN_LINE = re.compile(f"[{_HARMFUL}\t\n]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """``text`` with everything escaped that a terminal obeys, except line breaks and tabs."""
    return _IN_TEXT.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: object, limit: int = MAX_FIELD) -> str:
    """``str(text)`` on one line, shortened in the middle to about ``limit`` characters."""
    return _IN_LINE.sub(_escape, _shortened(str(text), limit))


def bounded(text: str, *, max_lines: int = MAX_LINES, max_line: int = MAX_LINE) -> str:
    """A message of several lines: printable, long lines shortened, surplus lines counted.

    The last line stays: messages end with what to do.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > max_lines:
        left_out = len(lines) - max_lines + 1
        lines[max_lines - 2 : -1] = [f"… {left_out} more lines"]
    return "\n".join(printable(_shortened(line, max_line)) for line in lines)


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    r"""JSON of ``value`` in which every harmful character is a ``\u`` escape.

    The value stays the same. JSON has no NaN and no infinity; they become null.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return _IN_TEXT.sub(_json_escape, text)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 4, limit // 4
    return f"{text[:head]}… ({len(text) - head - tail} more characters) …{text[-tail:]}"


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else _wide(code)


def _wide(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0]).strip('"') if match[0] != "\x7f" else "\\u007f"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
