"""The TOML file of a fleet: the options of ``hivellm-lite serve``, and a table ``[cluster]``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..loading.options import LoadOptions
from ..memory_estimate import parse_bytes
from ..server.key_file import read_keys
from ..server.options import ServerOptions
from ..toml_text import parse_toml
from .options import ClusterOptions, Fleet

__all__ = ["read_fleet"]

_SERVER = frozenset(field.name for field in dataclasses.fields(ServerOptions)) - {"keys"}
_CLUSTER = frozenset(field.name for field in dataclasses.fields(ClusterOptions))
_LOAD = frozenset(LoadOptions.__annotations__) - {"progress"}
_FLEET = frozenset({"max_loaded_experts", "max_memory"})
_OWN = frozenset({"packages", "cluster", "api_key_file", "no_verify"})
_PATHS = ("base", "cache_dir", "float_weights")
_LISTS = ("allowed_hosts", "cors")
_AMOUNTS = ("max_body", "own_context_bytes")


def read_fleet(path: str | os.PathLike[str]) -> Fleet:
    """The fleet that the file describes.

    Raises OSError for a file that cannot be read, and ValueError that names an option that is not
    known, or a value out of range.
    """
    try:
        return _fleet(_named(parse_toml(Path(path).read_bytes())))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _fleet(found: dict[str, Any]) -> Fleet:
    _refuse_others(found, _SERVER | _LOAD | _FLEET | _OWN, "option")
    cluster = found.get("cluster", {})
    packages = found.get("packages", {})
    for name, table in (("cluster", cluster), ("packages", packages)):
        if not isinstance(table, dict):
            raise ValueError(f"{name}: write it as a table: [{name}]")
    cluster = _named(cluster)
    _refuse_others(cluster, _CLUSTER, "option in [cluster]")
    for name in _AMOUNTS:
        if isinstance(found.get(name), str):
            found[name] = parse_bytes(found[name])
    for name in _LISTS:
        if name in found:
            found[name] = tuple(found[name])
    for name in _PATHS:
        if name in found:
            found[name] = _absolute(found[name])
    packages = {name: _absolute(path) for name, path in packages.items()}
    if "no_verify" in found:
        found["verify"] = not found["no_verify"]
    keys = read_keys(found["api_key_file"]) if "api_key_file" in found else ()
    try:
        return Fleet(
            packages,
            server=ServerOptions(keys=keys, **_part(found, _SERVER)),
            cluster=ClusterOptions(**cluster),
            load=LoadOptions(**_part(found, _LOAD)),  # type: ignore[typeddict-item]
            **_part(found, _FLEET),
        )
    except TypeError as error:  # a text where a number belongs
        raise ValueError(str(error)) from None


def _absolute(text: Any) -> Any:
    """A path for processes that run in another folder; whatever is no path here stays as it is."""
    return str(Path(text).absolute()) if isinstance(text, str) and Path(text).exists() else text


def _named(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with names as Python writes them."""
    return {name.replace("-", "_"): value for name, value in table.items()}


def _part(found: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in names}


def _refuse_others(found: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    if unknown := sorted(found.keys() - known):
        raise ValueError(f"there is no {what} {unknown[0]!r}; there are {', '.join(sorted(known))}")
