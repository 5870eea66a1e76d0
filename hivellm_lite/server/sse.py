"""Server-sent events, in the bytes that OpenAI's clients read.

One ``data:`` line with JSON and one empty line, LF only. No identifiers, comments or pings: each
of these has crashed a client somewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["DONE", "HEADERS", "event"]

DONE = b"data: [DONE]\n\n"
"""The end of a stream."""

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the pieces back
}

_ESCAPES = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Line ends of Unicode: JSON allows them in a string, and some clients split lines there."""


def event(data: Mapping[str, object], *, name: str | None = None) -> bytes:
    """One event; ``data`` is always one line.

    ``name`` is for the Responses API alone, whose clients expect an ``event:`` line.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    named = "" if name is None else f"event: {name}\n"
    return f"{named}data: {text}\n\n".encode()
