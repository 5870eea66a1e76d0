"""The steps of JSON pointers, which escape ``~`` and ``/``.

Source: RFC 6901, sections 3 and 4.
"""

from __future__ import annotations

__all__ = ["escaped", "unescaped"]


def escaped(step: str | int) -> str:
    """A key or an index as a step of a pointer."""
    return str(step).replace("~", "~0").replace("/", "~1")


def unescaped(step: str) -> str:
    """The key, or the digits of the index, that a step of a pointer stands for."""
    return step.replace("~1", "/").replace("~0", "~")
