"""The operators of a chat template. Each pays for its work first, and keeps the marks of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import marked_text as marks
from .budget import ELEMENT, MAX_INTEGER_BITS, Budget, TemplateLimitError
from .methods import escaped, format_percent

__all__ = ["BINARY"]


def _add(budget: Budget, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        budget.spend(16 + len(left) + len(right))
        if not isinstance(left, marks.SafeText) and not isinstance(right, marks.SafeText):
            return marks.join((left, right))
        both = (
            one if isinstance(one, marks.SafeText) else escaped(budget, one)
            for one in (left, right)
        )
        return marks.safe(marks.join(both))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        budget.spend(ELEMENT * (len(left) + len(right)))
    return _number(left + right)


def _multiply(budget: Budget, left: Any, right: Any) -> Any:
    for value, times in ((left, right), (right, left)):
        if isinstance(value, (str, list, tuple)) and isinstance(times, int):
            unit = 1 if isinstance(value, str) else ELEMENT
            budget.spend(unit * len(value) * max(0, times))
            if isinstance(value, str):
                return marks.repeated(value, times)
    _number(left)
    _number(right)
    return _number(left * right)


def _power(_: Budget, left: Any, right: Any) -> Any:
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and left.bit_length() * right > MAX_INTEGER_BITS:
        raise TemplateLimitError("it computes a number that is too large")
    return left**right


def _modulo(budget: Budget, left: Any, right: Any) -> Any:
    return format_percent(budget, left, right) if isinstance(left, str) else left % right


def _number(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise TemplateLimitError("it computes a number that is too large")
    return value


BINARY: Mapping[str, Callable[[Budget, Any, Any], Any]] = {
    "+": _add,
    "-": lambda _, left, right: _number(left - right),
    "*": _multiply,
    "/": lambda _, left, right: left / right,
    "//": lambda _, left, right: left // right,
    "**": _power,
    "%": _modulo,
}
