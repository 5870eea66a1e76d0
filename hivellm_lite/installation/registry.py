"""``expert-registry.json``: which experts are installed, in HiveLLM's own form.

Bytes in, bytes out; no file is opened here. A registry is::

    {"version": "1.0", "last_updated": "2026-01-31T12:00:00Z",
     "install_dir": "/home/ann/.expert/experts", "models_dir": "/home/ann/.expert/models",
     "base_models": [],
     "experts": [{"name": "expert-sql", "versions": [
         {"version": "0.3.0", "base_model": "Qwen3-0.6B", "path": "…/expert-sql/0.3.0",
          "source": "git+https://…", "installed_at": "2026-01-31T12:00:00Z",
          "adapters": [{"type": "dora", "path": "", "size_bytes": 0, "sha256": null}],
          "capabilities": ["database:sql"], "dependencies": []}]}]}

Older ones have flat entries: ``experts[{name, version, …}]``. HiveLLM's tool refuses a registry
that mixes the two, or that lacks a field, so every change writes all entries in the newer form
and completes the fields. Fields that are not understood are kept. Entries that cannot be
understood are kept, too, and named in `Registry.notes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import RegistryError
from ..manifest.records import Manifest
from ..manifest.version_ranges import Version, parse_version
from ..strict_json.parsing import JsonError, parse_object, shown

__all__ = ["InstalledVersion", "Registry", "new_registry", "parse_registry", "version_entry"]

MAX_BYTES = 16 << 20
"""Largest registry. An entry has about 700 bytes, and more than a thousand are unlikely."""

MAX_NOTES = 20
"""Entries that one reading complains about."""

_DEFAULTS: Mapping[str, Any] = {
    "base_model": "",
    "source": "",
    "installed_at": "1970-01-01T00:00:00Z",
    "adapters": [],
    "capabilities": [],
    "dependencies": [],
}
"""What HiveLLM's tool expects in every version, beside ``version`` and ``path``."""

_OLDEST = Version(-1, 0, 0, False)
"""The place of a version that is no semantic version: before all others."""


@dataclass(frozen=True)
class InstalledVersion:
    """One version of an expert, as the registry has it. ``entry`` is its JSON object."""

    name: str
    version: str
    path: Path
    source: str
    base_model: str
    installed_at: str
    entry: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        """``expert-sql@0.3.0``, for messages."""
        return f"{self.name}@{self.version}"

    @property
    def place(self) -> tuple[Version, str]:
        """Its place among all versions: releases after their pre-releases."""
        return parse_version(self.version) or _OLDEST, self.version


@dataclass(frozen=True)
class Registry:
    """A whole registry. ``document`` is its JSON object, with one record for each expert.

    ``notes`` name the entries that were not understood, each with its place in the file.
    """

    document: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def install_dir(self) -> Path | None:
        """The folder of installed experts; None if the registry names none of this machine."""
        return _folder(self.document.get("install_dir"))

    @property
    def models_dir(self) -> Path | None:
        """The folder of base models; None if the registry names none of this machine."""
        return _folder(self.document.get("models_dir"))

    def versions(self) -> tuple[InstalledVersion, ...]:
        """All versions of all experts: by name, the newest first."""
        found = [
            _installed(name, entry)
            for name, entries in _records(self.document["experts"])
            for entry in entries
            if _is_version(entry)
        ]
        found.sort(key=lambda one: one.place, reverse=True)
        return tuple(sorted(found, key=lambda one: one.name.casefold()))

    def with_version(self, name: str, entry: Mapping[str, Any]) -> Registry:
        """A registry in which ``entry`` stands for its version of ``name``.

        Fields that the entry before had and this one has not are kept.
        """
        before = self._entry(name, entry["version"])
        more = {key: value for key, value in (before or {}).items() if key not in entry}
        experts = _without(self.document["experts"], name, entry["version"])
        record = next((one for one in experts if _names(one, name)), None)
        if record is None:
            experts = [*experts, {"name": name, "versions": [{**entry, **more}]}]
            experts.sort(key=lambda one: _name_of(one).casefold())
        else:
            record["versions"] = [*record["versions"], {**entry, **more}]
            record["versions"].sort(key=_place_of, reverse=True)
        return replace(self, document={**self.document, "experts": experts})

    def without_version(self, name: str, version: str) -> Registry:
        """A registry without this version; without the expert if it was the last one."""
        experts = _without(self.document["experts"], name, version)
        kept = [one for one in experts if not _names(one, name) or one["versions"]]
        return replace(self, document={**self.document, "experts": kept})

    def to_bytes(self, *, now: str, like: Registry | None = None) -> bytes:
        """The file, at the time ``now``. Fields that are missing are those of ``like``."""
        missing = {
            key: value
            for key, value in (like.document if like else {}).items()
            if self.document.get(key) is None
        }
        document = {**self.document, **missing, "last_updated": now}
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def _entry(self, name: str, version: str) -> Mapping[str, Any] | None:
        for one in self.versions():
            if (one.name, one.version) == (name, version):
                return one.entry
        return None


def new_registry(install_dir: Path, models_dir: Path, *, now: str) -> Registry:
    """A registry without experts."""
    return Registry(
        {
            "version": "1.0",
            "last_updated": now,
            "install_dir": str(install_dir),
            "models_dir": str(models_dir),
            "base_models": [],
            "experts": [],
        }
    )


def parse_registry(data: bytes, *, source: str) -> Registry:
    """Read the file; ``source`` names it in errors. Raises RegistryError with the place."""
    try:
        parsed = parse_object(data, source=source, max_bytes=MAX_BYTES)
    except JsonError as error:
        raise RegistryError(str(error)) from None
    document = dict(parsed.value)
    experts = document.setdefault("experts", [])
    if not isinstance(experts, list):
        raise RegistryError(
            f"{source}: {parsed.where(('experts',))}: found {shown(experts)}, expected a list"
        )
    notes = []
    for index, one in enumerate(experts):
        for key, problem in _problems(one):
            where = parsed.where(("experts", index, key) if key else ("experts", index))
            notes.append(f"{source}: {where}: {problem}; the entry is kept and not used")
    return Registry({**document, "experts": _upgraded(experts)}, tuple(notes[:MAX_NOTES]))


def version_entry(
    manifest: Manifest, path: Path, source: str, *, size: int, now: str
) -> dict[str, Any]:
    """The entry of an expert in the folder ``path``; ``size`` is that of its adapter, in bytes."""
    return {
        "version": manifest.version,
        "base_model": manifest.base.short_name,
        "path": str(path),
        "source": source,
        "installed_at": now,
        "adapters": [
            {
                "type": info.type or "lora",
                "path": info.path or "",
                "size_bytes": info.size_bytes or size,
                "sha256": info.sha256,
            }
            for info in manifest.adapters
        ],
        "capabilities": list(manifest.capabilities),
        "dependencies": [
            {"name": text.partition("@")[0], "version": text.partition("@")[2], "optional": False}
            for text in manifest.constraints.requires
        ],
    }


# --- the records of a document -------------------------------------------------------


def _upgraded(experts: list[Any]) -> list[Any]:
    """The records in the newer form: entries of one name become the versions of one record."""
    records: dict[str, dict[str, Any]] = {}
    result: list[Any] = []
    for one in experts:
        if _problem(one) is not None:
            result.append(one)
            continue
        name = one["name"]
        if "versions" in one:
            versions, record = one["versions"], {**one, "versions": []}
        else:
            versions = [{key: value for key, value in one.items() if key != "name"}]
            record = {"name": name, "versions": []}
        if name not in records:
            records[name] = record
            result.append(record)
        records[name]["versions"] += [_completed(entry) for entry in versions]
    return result


def _completed(entry: Any) -> Any:
    """An entry with all fields that HiveLLM's tool expects."""
    if not _is_version(entry):
        return entry
    missing: dict[str, Any] = {
        key: default
        for key, default in _DEFAULTS.items()
        if not isinstance(entry.get(key), type(default))
    }
    return {**entry, **missing}


def _problem(one: Any) -> str | None:
    """Why an entry of ``experts`` is not understood."""
    if not isinstance(one, dict):
        return f"found {shown(one)}, expected an object"
    if not _is_name(one.get("name")):
        return f"found the name {shown(one.get('name'))}, expected one that a folder can have"
    if not isinstance(one.get("versions", []), list):
        return f"found versions {shown(one['versions'])}, expected a list"
    return None


def _problems(one: Any) -> Iterator[tuple[str, str]]:
    """The problems of an entry of ``experts``: which field has one, and what it is."""
    if (problem := _problem(one)) is not None:
        yield "", problem
        return
    for entry in one.get("versions", [one]):
        if not _is_version(entry):
            yield (
                "versions",
                f"found {shown(entry)}, expected an object with a version and an absolute path",
            )


def _is_version(entry: Any, version: str | None = None) -> bool:
    """Whether this can be used as an entry, and is the one of ``version``."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("version"), str)
        and _is_place(entry.get("path"))
        and version in (None, entry["version"])
    )


def _is_name(value: object) -> bool:
    """Whether a folder can have this name: it leads nowhere else."""
    return (
        isinstance(value, str)
        and value.isprintable()
        and not re.search(r"[/\\]", value)
        and bool(value.strip(". "))
    )


def _is_place(value: object) -> bool:
    """Whether this is a path that means the same folder wherever the program runs."""
    return isinstance(value, str) and "\0" not in value and Path(value).is_absolute()


def _records(experts: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    for one in experts:
        if _problem(one) is None:
            yield one["name"], one["versions"]


def _without(experts: list[Any], name: str, version: str) -> list[Any]:
    """A copy of the records without one version."""
    return [
        {**one, "versions": [e for e in one["versions"] if not _is_version(e, version)]}
        if _names(one, name)
        else one
        for one in experts
    ]


def _names(one: Any, name: str) -> bool:
    return _problem(one) is None and one["name"] == name


def _name_of(one: Any) -> str:
    return str(one.get("name")) if isinstance(one, dict) else ""


def _place_of(entry: Any) -> tuple[Version, str]:
    version = entry["version"] if _is_version(entry) else ""
    return parse_version(version) or _OLDEST, version


def _installed(name: str, entry: Mapping[str, Any]) -> InstalledVersion:
    def text(key: str) -> str:
        value = entry.get(key)
        return value if isinstance(value, str) else ""

    return InstalledVersion(
        name=name,
        version=entry["version"],
        path=Path(entry["path"]),
        source=text("source"),
        base_model=text("base_model"),
        installed_at=text("installed_at"),
        entry=entry,
    )


def _folder(value: object) -> Path | None:
    return Path(value) if isinstance(value, str) and _is_place(value) else None
