"""JSON that knows the position of each value.

``parse_object`` checks bytes from a stranger and gives a ``JsonObject``::

    document = parse_object(data, source="manifest.json")
    document.value["name"]        # "expert-sql"
    document.where(("name",))     # "$.name, line 2, column 11"

This module knows nothing about any particular file format.
"""

from __future__ import annotations

import bisect
import codecs
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..lazy import lazy

__all__ = ["JsonError", "JsonObject", "JsonPath", "parse_object", "repeated_key", "shown"]

MAX_BYTES = 1 << 20
"""Largest document. The largest real manifest has 13 kB."""

MAX_DEPTH = 64
"""Deepest nesting. Real manifests use six levels; Python's own parser recurses."""

MAX_DIGITS = 64
"""Longest number. Python refuses to convert integers of 4300 digits and more."""

MAX_VALUES = 200_000
"""Most values, keys and brackets together. Each is an object in memory, with a position."""

_SHOWN_CHARACTERS = 60
"""How much of a wrong value or line an error message repeats."""

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|(?P<open>[\[{])|(?P<close>[\]}])'
    r'|(?P<comma>,)|(?P<colon>:)|(?P<scalar>[^\s"\[\]{},:]+))',
    re.DOTALL,
)
_DIGITS = re.compile(r"-?(\d+)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")

_NEWLINE = "\n"

JsonPath = tuple[str | int, ...]


class JsonError(ValueError):
    """The bytes are not JSON of the accepted kind. The message says where."""


@dataclass(slots=True)
class _Place:
    """Offset of one value, and the places of the values in it.

    ``step`` is the key or index of the member that comes next while the text is
    walked; None in an object whose next string is a key.
    """

    offset: int
    step: str | int | None
    members: dict[str | int, _Place] = field(default_factory=dict)


@dataclass(frozen=True)
class JsonObject:
    """A parsed JSON object and the text that it came from."""

    source: str
    text: str
    value: Mapping[str, Any]

    def where(self, path: JsonPath) -> str:
        """``$.base_models[0].r, line 17, column 14``, or the place of the nearest parent."""
        place = self._places
        for step in path:
            if step not in place.members:
                break
            place = place.members[step]
        # The same as _line_and_column, without counting from the start for each of many.
        line = bisect.bisect_right(self._lines, place.offset)
        return f"{_dotted(path)}, line {line}, column {place.offset - self._lines[line - 1] + 1}"

    @lazy
    def _places(self) -> _Place:
        return _places_of(self.text)

    @lazy
    def _lines(self) -> list[int]:
        """Where each line begins."""
        return [0, *(match.end() for match in re.finditer(_NEWLINE, self.text))]


def parse_object(
    data: bytes, *, source: str, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES
) -> JsonObject:
    """Parse UTF-8 JSON whose root is an object; ``source`` names it in errors.

    As in other tools, a byte order mark is accepted, and the last value of a repeated key
    counts. Raises JsonError for everything else that is not RFC 8259, such as NaN and
    Infinity, and for a text beyond the limits of this module.
    """
    if len(data) > max_bytes:
        raise JsonError(f"{source}: over {max_bytes} bytes, the most that is read")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JsonError(
            f"{source}: line {line}: byte 0x{data[error.start]:02x} is not UTF-8\n"
            "Save the file as UTF-8."
        ) from None
    _check_tokens(text, source, max_values)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _syntax_error(text, error.pos, source, error.msg) from None
    if not isinstance(value, dict):
        raise JsonError(f"{source}: found {shown(value)}, expected an object {{…}}")
    return JsonObject(source, text, value)


def repeated_key(document: JsonObject) -> str | None:
    """A key that some object of the document has twice, so that readers may take either value."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                repeated.append(key)
            seen.add(key)

    json.loads(document.text, object_pairs_hook=note)
    return repeated[0] if repeated else None


def shown(value: object) -> str:
    """``value`` as JSON, short, and safe to print whatever a stranger put into it."""
    text = json.dumps(value, ensure_ascii=False)[: _SHOWN_CHARACTERS + 1]
    text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _check_tokens(text: str, source: str, max_values: int) -> None:
    """Refuse, with the position, what json.loads would accept or crash on.

    Stops silently at the first thing that is no token: json.loads explains it.
    """
    depth = position = n_values = 0
    while token := _TOKEN.match(text, position):
        position = token.end()
        kind, start = token.lastgroup, token.start(token.lastgroup or 0)
        word = text[start:position]
        n_values += kind in ("open", "string", "scalar")
        if n_values > max_values:
            raise _syntax_error(text, start, source, f"More than {max_values} values")
        if kind == "open":
            depth += 1
            if depth > MAX_DEPTH:
                raise _syntax_error(text, start, source, f"Nested over {MAX_DEPTH} levels deep")
        elif kind == "close":
            depth -= 1
        elif kind == "scalar" and (problem := _scalar_problem(word)):
            raise _syntax_error(text, start, source, problem)
        elif kind == "string" and "\\u" in word and _has_lone_surrogate(word):
            raise _syntax_error(text, start, source, "Half of a surrogate pair in a string")


def _scalar_problem(word: str) -> str | None:
    if word in ("NaN", "Infinity", "-Infinity"):
        return f"{word} is not JSON"
    if (digits := _DIGITS.match(word)) and len(digits[1]) > MAX_DIGITS:
        return f"A number of {len(digits[1])} digits"
    if _NUMBER.fullmatch(word) and math.isinf(float(word)):
        return "A number too large to represent"
    return None


def _has_lone_surrogate(word: str) -> bool:
    try:
        json.loads(word).encode("utf-8")
    except UnicodeEncodeError:
        return True
    except json.JSONDecodeError:
        pass  # A wrong escape: json.loads of the whole text explains it.
    return False


def _places_of(text: str) -> _Place:
    """The place of every value of a text that json.loads has accepted."""
    stack = [_Place(0, "$")]
    position = 0
    while token := _TOKEN.match(text, position):
        position = token.end()
        kind, start = token.lastgroup, token.start(token.lastgroup or 0)
        parent = stack[-1]
        if kind == "close":
            stack.pop()
        elif kind == "comma":
            parent.step = parent.step + 1 if isinstance(parent.step, int) else None
        elif parent.step is None:
            parent.step = json.loads(text[start:position])
        elif kind != "colon":
            place = _Place(start, 0 if text[start] == "[" else None)
            parent.members[parent.step] = place
            if kind == "open":
                stack.append(place)
    return stack[0].members["$"]


def _dotted(path: JsonPath) -> str:
    parts = []
    for step in path:
        is_short = isinstance(step, str) and len(step) <= _SHOWN_CHARACTERS
        plain = is_short and _PLAIN_KEY.fullmatch(str(step))
        parts.append(f".{step}" if plain else f"[{shown(step)}]")
    return "$" + "".join(parts)


def _line_and_column(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - text.rfind(_NEWLINE, 0, offset)}"


def _syntax_error(text: str, offset: int, source: str, problem: str) -> JsonError:
    """The error with its line, a caret below the character, and a hint if there is one."""
    start = text.rfind(_NEWLINE, 0, offset) + 1
    left = max(start, offset - _SHOWN_CHARACTERS // 2)
    line = text[left : left + _SHOWN_CHARACTERS].split(_NEWLINE)[0]
    excerpt = "".join(c if c.isprintable() else " " for c in line)
    hint = _syntax_hint(text, offset)
    return JsonError(
        f"{source}: {_line_and_column(text, offset)}: {problem}\n"
        f"    {excerpt.rstrip()}\n    {' ' * (offset - left)}^" + (f"\n{hint}" if hint else "")
    )


def _syntax_hint(text: str, offset: int) -> str | None:
    before, rest = text[:offset].rstrip(), text[offset:].lstrip()
    if not text.strip():
        return "The file is empty."
    if not rest:
        return "The file ends too early: was it cut off?"
    # Python 3.13 points at the comma, older versions behind it.
    if (before + rest[:1]).rstrip("}]").endswith(",") and rest.lstrip(", \t\r\n")[:1] in ("}", "]"):
        return "Remove the comma in front of the closing bracket."
    if rest[0] == "'":
        return "Strings need double quotes."
    if rest[0] == "#" or rest.startswith(("//", "/*")):
        return 'JSON has no comments; a key such as "_comment" can hold one.'
    return None
