"""The fields of a request's body, checked one by one.

``null`` is "not given", as in OpenAI's API; fields that nobody asks for are ignored. What is wrong
with a field is an `APIError` that names it, such as ``messages[2].content``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from .errors import APIError, invalid, unsupported

__all__ = ["Fields", "type_error"]

_JSON_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class Fields:
    """One JSON object of a body. ``at``: where it stands, empty for the body itself."""

    def __init__(self, value: Mapping[str, object], at: str = "") -> None:
        self._value = value
        self.at = at

    def path(self, name: str) -> str:
        """The full name of a field, for messages."""
        return f"{self.at}.{name}" if self.at else name

    def value(self, name: str) -> object:
        """The value as it is; None for one that is not given."""
        return self._value.get(name)

    def all(self) -> Mapping[str, object]:
        """All fields as they are."""
        return self._value

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        raise type_error(self.path(name), "a string", value)

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self.value(name)
        if value is None or isinstance(value, bool):
            return value
        raise type_error(self.path(name), "a boolean", value)

    def number(self, name: str) -> float | None:
        """A number; the library checks its range."""
        value = self.value(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise type_error(self.path(name), "a number", value)
        if isinstance(value, int) and abs(value) > 1 << 64:
            raise invalid(self.path(name), f"Invalid '{self.path(name)}': the number is too large.")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        """An integer from ``low`` to ``high``."""
        path, value = self.path(name), self.value(name)
        if value is None:
            return None
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)  # 100.0, as some clients write it
        if isinstance(value, bool) or not isinstance(value, int):
            raise type_error(path, "an integer", value)
        if not low <= value <= high:
            raise invalid(
                path, f"Invalid '{path}': {_short(value)} is not from {low:,} to {high:,}."
            )
        return value

    def choice(self, name: str, values: Sequence[str]) -> str | None:
        """One of several strings."""
        value = self.text(name)
        if value is None or value in values:
            return value
        listed = ", ".join(f"'{one}'" for one in values)
        raise invalid(
            self.path(name),
            f"Invalid value: {_short(value)} of '{self.path(name)}'. It must be one of {listed}.",
        )

    def array(self, name: str) -> Sequence[object] | None:
        """An array."""
        value = self.value(name)
        if value is None or isinstance(value, list):
            return value
        raise type_error(self.path(name), "an array", value)

    def nested(self, name: str) -> Fields | None:
        """An object."""
        value = self.value(name)
        return None if value is None else self._fields(value, self.path(name))

    def objects(self, name: str) -> list[Fields] | None:
        """An array of objects."""
        values = self.array(name)
        if values is None:
            return None
        return [self._fields(one, f"{self.path(name)}[{i}]") for i, one in enumerate(values)]

    def texts(self, name: str, *, at_most: int) -> Sequence[str] | None:
        """One string, or an array of up to ``at_most``. Empty strings are left out."""
        path, value = self.path(name), self.value(name)
        if value is None:
            return None
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list):
            raise type_error(path, "a string or an array of strings", value)
        if len(found) > at_most:
            raise invalid(path, f"Invalid '{path}': {len(found)} strings, more than {at_most}.")
        for index, one in enumerate(found):
            if not isinstance(one, str):
                raise type_error(f"{path}[{index}]", "a string", one)
        return [one for one in found if one]

    def required(self, *names: str) -> None:
        """Raises APIError for the first of ``names`` that is not given."""
        for name in names:
            if self.value(name) is None:
                path = self.path(name)
                raise invalid(
                    path,
                    f"Missing required parameter: '{path}'.",
                    code="missing_required_parameter",
                )

    def refuse(self, names: Iterable[str]) -> None:
        """Raises APIError for the first of ``names`` that asks for something.

        False, 0 and what is empty ask for nothing: clients send them as defaults.
        """
        for name in names:
            if self.value(name) not in (None, False, 0, "", [], {}):
                raise unsupported(self.path(name))

    @staticmethod
    def _fields(value: object, path: str) -> Fields:
        if not isinstance(value, dict):
            raise type_error(path, "an object", value)
        return Fields(value, path)


def type_error(path: str, expected: str, value: object) -> APIError:
    """The error of a value that has another JSON type."""
    found = _JSON_TYPES[type(value)]
    message = f"Invalid type for '{path}': expected {expected}, but got {found} instead."
    return invalid(path, message, code="invalid_type")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
