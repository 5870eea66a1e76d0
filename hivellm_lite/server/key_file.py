"""The file of API keys."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .options import APIKey

__all__ = ["read_keys"]

_KEY_LINE = re.compile(r"(?:([\w.-]+)[ \t:=]+)?(\S+)")

MIN_KEY = 16
"""Characters of a key. Shorter keys can be guessed."""


def read_keys(path: str | os.PathLike[str]) -> tuple[APIKey, ...]:
    """The keys in a file: one a line, with a name before it or not; ``#`` begins a comment.

    Raises ValueError that names the file and the line; a key itself is never shown.
    """
    shown = os.fspath(path)
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--api-key-file: {shown}: {error}") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        found = _KEY_LINE.fullmatch(text)
        if found is None or len(found[2]) < MIN_KEY:
            raise ValueError(
                f"{shown}, line {number}: write a key of at least {MIN_KEY} characters without "
                "blanks, or a name and a key"
            )
        keys.append(APIKey(found[1] or f"key-{number}", found[2]))
    if not keys:
        raise ValueError(f"{shown} has no key")
    return tuple(keys)
