"""What ``hivellm-lite batch`` reads: a JSON text or an object on each line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from ..batch.answering import BatchLine
from ..cache.digests import digest_of
from ..terminal_text import one_line
from .input_text import read_text, refuse_other_encoding

__all__ = ["LineReader", "RawLine"]

MAX_LINE_BYTES = 16 << 20
"""A prompt that fills a context of a million tokens has about 4 MB."""

MAX_NUMBER = 1 << 32
"""Larger than any option may be; also keeps infinity and NaN out."""

_NUMBER, _TEXT = (int, float), (str,)
_FIELDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "schema", "system", "template", "tool_form", "grammar"), _TEXT),
    **dict.fromkeys(("temperature", "top_p", "min_p", "repetition_penalty"), _NUMBER),
    **dict.fromkeys(("frequency_penalty", "presence_penalty"), _NUMBER),
    **dict.fromkeys(("timeout", "adapter_scale"), _NUMBER),
    **dict.fromkeys(("top_k", "max_tokens", "seed"), (int,)),
    **dict.fromkeys(("thinking", "allow_unenforced"), (bool,)),
    **dict.fromkeys(("messages", "tools", "documents"), (list,)),
    "chat_template_kwargs": (dict,),
    "stop": (str, list),
    "json_schema": (dict, str, bool),
    "expert": (str, dict),
    "id": (str, int, float, bool),
}
"""What a line may hold, and the JSON types of it."""

_JSON_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


class RawLine(NamedTuple):
    """A line as it is written. ``number`` counts from 0."""

    number: int
    data: bytes


class LineReader:
    """Reads lines under the options of the command line."""

    def __init__(
        self,
        defaults: Mapping[str, Any],
        packages: Mapping[str, str],
        expert: str,
        model: Mapping[str, Any],
    ) -> None:
        """``packages``: the digest of each expert's package. ``expert``: who answers a line
        that names no expert. ``model``: what else all answers depend on.
        """
        self._defaults = defaults
        self._told = {name: _told(value) for name, value in defaults.items()}
        self._model = model
        self._packages = packages
        self._expert = expert

    def read(self, file: BinaryIO) -> list[RawLine]:
        """All lines but blank ones. Raises UsageError for a file in UTF-16 or UTF-32."""
        lines = []
        index = 0
        while data := file.readline(MAX_LINE_BYTES + 1):
            if not index:
                name = getattr(file, "name", "-")
                refuse_other_encoding(data[:4], str(name) if name != "-" else "the input")
            if len(data) > MAX_LINE_BYTES:
                rest = data
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_LINE_BYTES)
            if data.strip():
                lines.append(RawLine(index, data))
            index += 1
        return lines

    def line(self, raw: RawLine) -> BatchLine:
        """What a line says."""
        index, data = raw
        options: dict[str, Any] = {}
        line_id = problem = None
        try:
            value = _parse(data)
            line_id = _id_of(value)
            options = _options(value)
        except ValueError as error:
            problem = error
        options.pop("id", None)
        expert = options.pop("expert", self._expert)
        named = (expert,) if isinstance(expert, str) else expert
        asked = {name: self._packages[name] for name in named if name in self._packages}
        digest = digest_of(
            data.strip().hex(), self._expert, self._told, asked or self._packages, self._model
        )
        defaults = dict(self._defaults)
        if {"schema", "system", "messages"} & options.keys():
            defaults.pop("schema", None)
        if {"grammar", "json_schema"} & options.keys():
            defaults = {k: v for k, v in defaults.items() if k not in ("grammar", "json_schema")}
        return BatchLine(index, digest, line_id, expert, {**defaults, **options}, problem)


def _told(value: Any) -> Any:
    """An option for the digest: of a file, what it says."""
    return read_text(os.fspath(value)) if isinstance(value, os.PathLike) else value


def _parse(data: bytes) -> Any:
    """What a line says. Raises ValueError where it is no JSON."""
    if len(data) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES >> 20} MiB")
    try:
        # as text: the parser takes bytes for UTF-16 where they look like it
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at position {error.start}"
        raise ValueError(f"not UTF-8 text: {found}") from None
    except RecursionError:
        raise ValueError("no usable JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None


def _id_of(value: Any) -> Any:
    """The ``id`` of a line, which its result has even where the rest is wrong."""
    found = value.get("id") if isinstance(value, dict) else None
    kinds = _FIELDS["id"]
    return found if isinstance(found, kinds) and not _is_out_of_range(found) else None


def _options(value: Any) -> dict[str, Any]:
    """A line's options, nulls left out. Raises ValueError that says what is wrong."""
    if isinstance(value, str):
        return {"prompt": value}
    if not isinstance(value, dict):
        raise ValueError('neither a text nor an object such as {"prompt": "…"}')
    options = {name: entry for name, entry in value.items() if entry is not None}
    for name, entry in options.items():
        if name not in _FIELDS:
            known = ", ".join(_FIELDS)
            raise ValueError(f'unknown field "{one_line(name, 60)}"; known: {known}')
        _check(f'"{name}"', entry, _FIELDS[name])
        if name == "stop" and isinstance(entry, list):
            for text in entry:
                _check('an entry of "stop"', text, _TEXT)
        if name == "expert" and isinstance(entry, dict):
            for weight in entry.values():
                _check('a weight of "expert"', weight, _NUMBER)
    return options


def _check(what: str, value: Any, types: tuple[type, ...]) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(
            _JSON_NAMES[kind] for kind in types if kind is not int or len(types) == 1
        )
        raise ValueError(f"{what} is {_JSON_NAMES.get(type(value), 'null')}; expected {wanted}")
    if _is_out_of_range(value):
        raise ValueError(f"{what} is out of range")


def _is_out_of_range(value: Any) -> bool:
    return isinstance(value, _NUMBER) and not -MAX_NUMBER < value < MAX_NUMBER
