"""A lock file: which experts a team uses, from where, and with which bytes.

::

    version = 1

    [[expert]]
    name = "expert-sql"
    version = "0.3.0"
    source = "owner/expert-sql@4f1c…:expert-sql.expert"
    sha256 = "…"                      # of the archive, if it is one
    files = "…"                       # of all installed files
    key = "ed25519:…"                 # who signed it
    base = "Qwen/Qwen3-0.6B@c1899de2…"

``files`` is the SHA-256 of the lines ``<SHA-256 of the file>  <path>``, sorted, each with a line
feed. A ``source`` that is a path is relative to the folder of the lock file.

Text in, text out; no file is opened here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from ..errors import LoadError
from ..strict_json.parsing import shown
from ..toml_text import parse_toml

__all__ = ["LockedExpert", "parse_lock", "write_lock"]

VERSION = 1
"""Of the form of lock files."""

MAX_BYTES = 4 << 20
"""Largest lock file: an expert has about 500 bytes."""

MAX_EXPERTS = 1_000

_SHA256 = re.compile(r"[0-9a-f]{64}")

_HEAD = (
    "# The experts of this project. 'hivellm-lite install --locked FILE' installs these bytes and\n"
    "# no others; 'hivellm-lite lock FILE' writes the file again.\n"
)


@dataclass(frozen=True)
class LockedExpert:
    """One expert of a lock file; see the module."""

    name: str
    version: str
    source: str
    files: str
    sha256: str | None = None
    key: str | None = None
    base: str | None = None


def write_lock(experts: Iterable[LockedExpert]) -> str:
    """The lock file; the same experts give the same text."""
    lines = [_HEAD, f"version = {VERSION}\n"]
    for one in sorted(experts, key=lambda one: (one.name, one.version)):
        lines.append("\n[[expert]]\n")
        lines += [
            f"{name} = {_string(value)}\n"
            for name in _KEYS
            if (value := getattr(one, name)) is not None
        ]
    return "".join(lines)


def parse_lock(data: bytes, *, source: str) -> tuple[LockedExpert, ...]:
    """Read a lock file; ``source`` names it in errors. Raises LoadError with what is wrong."""
    if len(data) > MAX_BYTES:
        raise LoadError(f"{source}: over {MAX_BYTES} bytes, the most that is read")
    try:
        document = parse_toml(data)
    except ValueError as error:
        raise LoadError(f"{source}: not TOML: {error}") from None
    if document.get("version") != VERSION:
        raise LoadError(
            f"{source}: found version {shown(document.get('version'))}, expected {VERSION}\n"
            "A newer hivellm-lite may have written it."
        )
    entries = document.get("expert", [])
    if not isinstance(entries, list) or len(entries) > MAX_EXPERTS:
        raise LoadError(f"{source}: expected at most {MAX_EXPERTS} tables [[expert]]")
    return tuple(_expert(entry, f"{source}: expert {n}") for n, entry in enumerate(entries, 1))


_KEYS = ("name", "version", "source", "sha256", "files", "key", "base")


def _expert(entry: Any, where: str) -> LockedExpert:
    if not isinstance(entry, dict):
        raise LoadError(f"{where}: found {shown(entry)}, expected a table [[expert]]")
    if unknown := sorted(set(entry) - set(_KEYS)):
        raise LoadError(f"{where}: unknown key {shown(unknown[0])}; known are {', '.join(_KEYS)}")
    for field in fields(LockedExpert):
        value = entry.get(field.name)
        required = field.name in ("name", "version", "source", "files")
        digest = field.name in ("files", "sha256")
        if value is None and not required:
            continue
        if not isinstance(value, str) or not value or not value.isprintable():
            raise LoadError(f"{where}: found {field.name} {shown(value)}, expected text")
        if digest and not _SHA256.fullmatch(value):
            raise LoadError(f"{where}: found {field.name} {shown(value)}, expected 64 hex digits")
    return LockedExpert(**entry)


def _string(value: str) -> str:
    """A TOML basic string: its escapes are those of JSON, and DEL is escaped, too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
