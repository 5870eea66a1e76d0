"""Models that are published in several files, ``NAME-00001-of-00003.gguf`` and so on.

llama.cpp's ``gguf-split`` makes them. The first file has the metadata, and all have tensors. They
are named by their first file. `split` makes parts of another kind, which only this library reads.

Source: ``llama_split_path`` in src/llama.cpp of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from ...errors import LoadError

__all__ = ["first_parts", "part_names", "published_parts", "without_number"]

MAX_PARTS = 10_000
"""llama.cpp counts parts in 16 bits."""

PARTS_SHOWN = 5
"""Missing parts that an error names."""

_PART = re.compile(
    r"(?P<stem>.*)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})(?P<suffix>\.gguf)", re.DOTALL
)


def part_names(name: str) -> list[str]:
    """The names of all files of the model that the file ``name`` is a part of, in order.

    Only ``name`` if it is not called as a part.
    """
    match = _PART.fullmatch(name)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]) <= MAX_PARTS:
        return [name]
    count = int(match["count"])
    return [
        f"{match['stem']}-{number:05}-of-{count:05}{match['suffix']}"
        for number in range(1, count + 1)
    ]


def without_number(name: str) -> str:
    """``NAME.gguf`` for a part of it; any other name unchanged."""
    match = _PART.fullmatch(name)
    return match["stem"] + match["suffix"] if match else name


def first_parts(names: Collection[str], wanted: str | None = None) -> list[str]:
    """One name for each model among the .gguf files ``names``: its first part, or its only file.

    A model with parts counts once, even if some of them are missing. With ``wanted``: the first
    part of the model that is called so without the number, with or without ``.gguf``, in any
    case.
    """
    found: dict[str, None] = {}
    for name in names:
        plain = without_number(name).lower()
        named = wanted is not None and plain in (wanted.lower(), f"{wanted}.gguf".lower())
        if wanted is None or (named and plain != name.lower()):
            found.setdefault(part_names(name)[0])
    return list(found)


def published_parts(path: Path) -> tuple[Path, ...]:
    """The files of the model that ``path`` is a file of, in order; ``path`` alone for one file.

    Raises LoadError, which names them, if files are missing.
    """
    parts = [path.with_name(name) for name in part_names(path.name)]
    missing = _missing(parts)
    if len(parts) > 1 and missing:
        names = [part.name for part in missing[:PARTS_SHOWN]]
        more = " …" if len(missing) > PARTS_SHOWN else ""
        raise LoadError(
            f"{path.parent}: {', '.join(names)}{more} "
            f"{'is' if len(missing) == 1 else 'are'} missing: the model has {len(parts)} files\n"
            "Put all of them beside each other, with the names that they were published under."
        )
    return tuple(parts)


def _missing(parts: Iterable[Path]) -> list[Path]:
    return [part for part in parts if not part.is_file()]
