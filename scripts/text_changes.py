"""Changes that make near misses of texts, one word or sign at a time."""

from __future__ import annotations

import re
from random import Random


def changed_parts(text: str, rng: Random, part: re.Pattern[str]) -> str:
    """``text`` with one part removed, doubled, moved or replaced by another, or cut short."""
    parts = part.findall(text)
    place, other = rng.randrange(len(parts)), rng.choice(parts)
    change = rng.randrange(5)
    if change == 0:
        parts[place] = ""
    elif change == 1:
        parts[place] += f" {parts[place]}"
    elif change == 2:
        parts[place] = f"{other} {parts[place]}"
    elif change == 3:
        parts[place] = other
    else:
        parts[place:] = []
    return "".join(parts)
