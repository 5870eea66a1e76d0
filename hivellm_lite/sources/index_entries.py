"""The entries of an index, and how its JSON is read.

An index is a JSON file that lists experts and where to get them (docs/sources.md has the format).
Whoever writes one is a stranger: it is bounded, and an entry with a problem is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import LoadError, PackageError
from ..hub import parse_reference
from ..manifest.version_ranges import Version, parse_version
from ..strict_json.fields import Fields
from ..strict_json.parsing import JsonError, parse_object, shown
from .source import WebFile, parse_source

__all__ = ["FORMAT", "MAX_BYTES", "Index", "IndexedExpert", "parse_index"]

FORMAT = "hivellm-index/1"

MAX_BYTES = 8 << 20
MAX_ENTRIES = 10_000
MAX_VALUES = 500_000
"""Fifty values, keys and brackets for each of the most entries."""

_MAX_NOTES = 20
_MAX_TEXT = 2_000
_MAX_CAPABILITIES = 200

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KEY = re.compile(r"ed25519:[0-9a-f]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

_ON_DISK = re.compile(r"(?:git\+)?file:", re.IGNORECASE)

_LOWEST = Version(0, 0, 0, False)


@dataclass(frozen=True)
class IndexedExpert:
    """One version of an expert, as an index lists it.

    ``source`` is what `install` takes. ``sha256`` and ``size_bytes`` are those of the packed
    package, ``publisher_key`` (``ed25519:HEX``) is the key that signed it; nothing of this has
    been compared with a package. ``index`` is the path or address of the index.
    """

    name: str
    version: str
    source: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    license: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    publisher_key: str | None = None
    index: str = ""

    @property
    def order(self) -> Version:
        """The place of the version among others; a version that is none is older than all."""
        return parse_version(self.version) or _LOWEST


@dataclass(frozen=True)
class Index:
    """The experts of one index. ``notes`` say what was left out, and why."""

    place: str
    experts: tuple[IndexedExpert, ...]
    notes: tuple[str, ...] = ()


def parse_index(data: bytes, place: str) -> Index:
    """Read an index. ``place`` is its address, or its absolute path.

    Raises LoadError if it is no index.
    """
    try:
        document = parse_object(data, source=place, max_bytes=MAX_BYTES, max_values=MAX_VALUES)
    except JsonError as error:
        raise LoadError(f"not an index: {error}") from None
    problems: list[str] = []
    fields = Fields.of(document, problems)
    if document.value.get("format") != FORMAT:
        raise LoadError(
            f'{place}: not an index of experts: "format" is '
            f'{shown(document.value.get("format"))}, expected "{FORMAT}"'
        )
    if not isinstance(document.value.get("experts"), list):
        raise LoadError(f'{place}: not an index of experts: no list "experts"')
    if len(document.value["experts"]) > MAX_ENTRIES:
        raise LoadError(
            f"{place}: {len(document.value['experts'])} experts; an index may have "
            f"{MAX_ENTRIES}\nUse several indexes."
        )
    experts = []
    for entry in fields.children("experts"):
        faults: list[str] = []
        expert = _expert(Fields(document, entry.path, entry.value, faults), place)
        if expert is None or faults:
            problems += faults
        else:
            experts.append(expert)
    notes = [f"{place}: left out: {problem}" for problem in problems[:_MAX_NOTES]]
    if len(problems) > _MAX_NOTES:
        notes.append(f"{place}: {len(problems) - _MAX_NOTES} more problems")
    return Index(place, tuple(experts), tuple(notes))


def _expert(entry: Fields, place: str) -> IndexedExpert | None:
    """The expert; None, with a problem recorded, if it cannot be used."""
    name = _matched(entry, "name", _NAME, "a name", required=True)
    version = _matched(entry, "version", _VERSION, "a version", required=True)
    text = entry.text("source", required=True)
    sha256 = _matched(entry, "sha256", _SHA256, "64 hexadecimal digits")
    if name is None or version is None or text is None:
        return None
    try:
        source = _source(text, sha256, place)
    except PackageError as error:
        entry.problem("source", str(error).splitlines()[0])
        return None
    description = entry.text("description") or ""
    capabilities = entry.texts("capabilities")
    if len(description) > _MAX_TEXT or len(capabilities) > _MAX_CAPABILITIES:
        entry.problem("description", "a description or capabilities of more than a page")
        return None
    return IndexedExpert(
        name=name,
        version=version,
        source=source,
        description=description,
        capabilities=capabilities,
        license=entry.text("license"),
        sha256=sha256.lower() if sha256 else None,
        size_bytes=entry.integer("size_bytes", minimum=0),
        publisher_key=_matched(entry, "publisher_key", _KEY, "ed25519: and 64 digits"),
        index=place,
    )


def _matched(
    entry: Fields, key: str, form: re.Pattern[str], expected: str, *, required: bool = False
) -> str | None:
    text = entry.text(key, required=required)
    if text is not None and form.fullmatch(text) is None:
        entry.problem(key, f"found {shown(text)}, expected {expected}")
        return None
    return text


def _source(text: str, sha256: str | None, place: str) -> str:
    """The source as `parse_source` takes it, whatever folder the program runs in.

    A file need not exist: nobody looks for ten thousand of them. Raises PackageError.
    """
    on_web = "://" in place
    if _SCHEME.match(text) is None:
        if parse_reference(text) is not None:
            return text
        if on_web:
            raise PackageError(f"{shown(text)} is a path, which an index on the web cannot name")
        if not text.isprintable() or not text:
            raise PackageError(f"{shown(text)} is no path")
        return str(Path(place).parent / text)
    # Before anything looks at the file: on Windows a path may name another machine.
    if on_web and _ON_DISK.match(text):
        raise PackageError(f"{shown(text)} is a file, which an index on the web cannot name")
    source = parse_source(text, relative_to=None if on_web else Path(place).parent)
    if isinstance(source, WebFile):
        digest = sha256.lower() if sha256 else source.sha256
        if digest is None:
            raise PackageError(f"{source.text} has no digest")
        if source.sha256 not in (None, digest):
            raise PackageError(f'{source.text} has another digest than "sha256"')
        return replace(source, sha256=digest).text
    return source.text
