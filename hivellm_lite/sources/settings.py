"""The settings of the user: ``config.toml`` in the folder of installed experts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LoadError
from ..expert_home import expert_home
from ..toml_text import parse_toml

__all__ = ["Settings", "read_settings"]

FILE = "config.toml"
VARIABLE = "HIVELLM_INDEXES"
PLACE = "{name}"

MAX_BYTES = 1 << 16
"""Largest settings file. Two settings need less than a thousand."""


@dataclass(frozen=True)
class Settings:
    """``indexes``: paths or https addresses of indexes, which `search` and `install` read.

    ``requires_url``: where an expert is that another requires and no index has, with ``{name}``
    in place of its name.
    """

    indexes: tuple[str, ...] = ()
    requires_url: str = "git+https://github.com/hivellm/{name}.git"


def read_settings() -> Settings:
    """The settings of ``config.toml``, or the defaults where there is none.

    The variable HIVELLM_INDEXES, addresses and paths with blanks between them, replaces
    ``indexes``. Relative paths start at the folder of ``config.toml``, and in the variable where
    the program runs. Raises LoadError for a file that cannot be read or has unknown settings.
    """
    place = expert_home() / FILE
    settings = _settings(_read(place), place)
    if (variable := os.environ.get(VARIABLE)) is not None:
        return Settings(tuple(variable.split()), settings.requires_url)
    return settings


def _read(place: Path) -> dict[str, Any]:
    try:
        with place.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise LoadError(f"cannot read {place}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise LoadError(f"{place}: over {MAX_BYTES} bytes, the most that is read")
    try:
        return parse_toml(data)
    except ValueError as error:
        raise LoadError(f"{place} is no TOML: {error}\nCorrect it, or remove it.") from None


def _settings(found: dict[str, Any], place: Path) -> Settings:
    default = Settings()
    known = ("indexes", "requires_url")
    if unknown := sorted(found.keys() - known):
        raise LoadError(
            f"{place}: unknown setting {unknown[0]!r:.80}\nKnown settings: {', '.join(known)}"
        )
    indexes = found.get("indexes", list(default.indexes))
    if not isinstance(indexes, list) or not all(isinstance(one, str) for one in indexes):
        raise LoadError(
            f"{place}: indexes is no list of texts\n"
            'For example: indexes = ["https://example.org/index.json", "/home/me/index.json"]'
        )
    url = found.get("requires_url", default.requires_url)
    if not isinstance(url, str) or PLACE not in url:
        raise LoadError(
            f"{place}: requires_url has no {PLACE} for the name of the expert\n"
            f'The default: requires_url = "{default.requires_url}"'
        )
    return Settings(tuple(_absolute(one, place.parent) for one in indexes), url)


def _absolute(index: str, folder: Path) -> str:
    return index if "://" in index else str(folder / Path(index).expanduser())
