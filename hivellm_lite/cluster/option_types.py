"""Whether what a TOML file says fits the types of the options that it names."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

__all__ = ["check_options", "without"]

_NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


def check_options(found: Mapping[str, Any], hints: Mapping[str, Any], what: str) -> None:
    """Raises ValueError for a name that has no hint, and for a value that does not fit its hint."""
    for name, value in found.items():
        if name not in hints:
            listed = ", ".join(sorted(hints))
            raise ValueError(f"there is no {what} {name!r}; there are {listed}")
        kinds = _kinds(hints[name])
        if kinds and not any(_fits(value, kind) for kind in kinds):
            expected = " or ".join(dict.fromkeys(_expected(kind) for kind in kinds))
            raise ValueError(f"{name}={value!r:.60}: must be {expected}")


def without(hints: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The hints but those of some names."""
    return {name: hint for name, hint in hints.items() if name not in names}


def _kinds(hint: Any) -> list[Any]:
    """What of a hint a TOML file can say; empty where it can be anything."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [part for part in parts if part in _NAMES or _is_list(part)]


def _is_list(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Sequence)


def _fits(value: Any, kind: Any) -> bool:
    if _is_list(kind):
        entry = get_args(kind)[0]
        return isinstance(value, list) and all(_fits(one, entry) for one in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _expected(kind: Any) -> str:
    if _is_list(kind):
        entry = get_args(kind)[0]
        return "a list of " + {str: "texts", int: "whole numbers"}.get(entry, "numbers")
    return _NAMES[kind]
