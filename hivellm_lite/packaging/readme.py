"""The card as the README.md of a repository, and how it takes the place of an earlier one.

Authors edit their README. So `push` rewrites only what stands between its own marks, and leaves a
README without marks alone. The front matter has a mark of its own: a comment, without which the
block belongs to the author.
"""

from __future__ import annotations

import re

from .model_card import ModelCard

__all__ = ["README", "readme_with"]

README = "README.md"

_FRONT_MARK = "# hivellm-lite push rewrites this block. Without this line, it keeps the block."
_BEGIN = "<!-- hivellm-lite push rewrites the text from here on -->"
_END = "<!-- to here. What stands before and after is kept. -->"

_FRONT = re.compile(r"\A(?:\ufeff)?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)


def readme_with(card: ModelCard, before: str | None = None) -> str | None:
    """README.md with ``card`` in it; ``before`` is the present README, if there is one.

    None if ``before`` has no place for a card, and is to be kept.
    """
    front = f"---\n{_FRONT_MARK}\n{card.front}\n---\n"
    block = f"{_BEGIN}\n\n{card.body}\n\n{_END}\n"
    if before is None:
        return f"{front}\n{block}"
    match = _FRONT.match(before)
    body = before[match.end() :] if match else before
    lines = body.splitlines(keepends=True)
    stripped = [line.strip() for line in lines]
    if stripped.count(_BEGIN) != 1 or stripped.count(_END) != 1:
        return None
    start, end = stripped.index(_BEGIN), stripped.index(_END)
    if end < start:
        return None
    if match and _FRONT_MARK not in match[1]:
        front = match[0]
    return "".join([front, *lines[:start], block, *lines[end + 1 :]])
