"""The TOML file of a fleet: the options of ``hivellm-lite serve``, and a table ``[cluster]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import LoadError
from ..loading.options import LoadOptions
from ..memory_estimate import parse_bytes
from ..server.key_file import read_keys
from ..server.options import ServerOptions
from ..toml_text import parse_toml
from ..user_paths import path_from_anywhere, user_path
from .option_types import check_options, without
from .options import ClusterOptions, Fleet

__all__ = ["read_fleet"]

_SERVER = without(get_type_hints(ServerOptions), "keys")
_CLUSTER = get_type_hints(ClusterOptions)
_LOAD = without(get_type_hints(LoadOptions), "progress")
_FLEET: Mapping[str, Any] = {"max_loaded_experts": int, "max_memory": str}
_OWN: Mapping[str, Any] = {"api_key_file": str, "no_verify": bool, "require_signature": bool}
_PATHS = ("base", "float_weights")
_AMOUNTS = ("max_body", "own_context_bytes")


def read_fleet(path: str | os.PathLike[str]) -> Fleet:
    """The fleet that the file describes.

    Raises OSError for a file that cannot be read, and ValueError that names an option that is not
    known, or a value out of range.
    """
    try:
        return _fleet(_named(parse_toml(Path(path).read_bytes())))
    except (ValueError, LoadError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _fleet(found: dict[str, Any]) -> Fleet:
    cluster, packages = found.pop("cluster", {}), found.pop("packages", {})
    for name, table in (("cluster", cluster), ("packages", packages)):
        if not isinstance(table, dict):
            raise ValueError(f"{name}: write it as a table: [{name}]")
    cluster = _named(cluster)
    for name in _AMOUNTS:
        if isinstance(found.get(name), str):
            found[name] = parse_bytes(found[name])
    check_options(found, {**_SERVER, **_LOAD, **_FLEET, **_OWN}, "option")
    check_options(cluster, _CLUSTER, "option in [cluster]")
    check_options(packages, dict.fromkeys(packages, str), "package")
    for name in _PATHS:
        if name in found:
            found[name] = path_from_anywhere(found[name])
    if "cache_dir" in found:  # made where it is missing
        found["cache_dir"] = str(user_path(found["cache_dir"]).absolute())
    if "no_verify" in found:
        found["verify"] = not found["no_verify"]
    if found.get("require_signature"):
        found["signatures"] = "require"
    keys = read_keys(found["api_key_file"]) if "api_key_file" in found else ()
    return Fleet(
        {name: path_from_anywhere(path) for name, path in packages.items()},
        server=ServerOptions(keys=keys, **_part(found, _SERVER)),
        cluster=ClusterOptions(**cluster),
        load=LoadOptions(**_part(found, _LOAD)),  # type: ignore[typeddict-item]
        **_part(found, _FLEET),
    )


def _named(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with names as Python writes them."""
    return {name.replace("-", "_"): value for name, value in table.items()}


def _part(found: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The options with these names. A list of TOML becomes a tuple."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in found.items()
        if name in names
    }
