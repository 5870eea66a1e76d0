"""The filters that a chat template may use: Jinja's, with limits and marks.

Filters that draw random numbers are missing, and so are filters for web pages, because their
work cannot be told in advance. No known template uses one.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jinja2 import pass_environment
from jinja2.filters import FILTERS, do_title, make_attrgetter
from jinja2.runtime import Undefined

from . import marked_text as marks
from .budget import CONTAINERS, ELEMENT, MAX_WIDTH, Budget, TemplateLimitError
from .methods import METHODS, derived, escaped, format_percent, replace, text_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["guarded_filters"]

_JINJAS = (
    *("abs", "batch", "count", "d", "default", "dictsort", "filesizeformat", "first"),
    *("float", "groupby", "int", "items", "last", "length", "list", "map", "max", "min"),
    *("reject", "rejectattr", "round", "select", "selectattr", "slice", "sort", "sum"),
    *("truncate", "unique", "wordcount"),
)
"""Jinja's filters, unchanged. Their results are no larger than their inputs, except for the
arguments that `_check_arguments` checks."""


_LOOKING = ("count", "d", "default", "first", "last", "length")
"""Filters that do not go through their input."""

_COMPARING = ("dictsort", "groupby", "max", "min", "sort", "unique")
"""Filters that also go through the elements of their input."""


def guarded_filters(budget: Callable[[], Budget]) -> dict[str, Callable[..., Any]]:
    """All filters. ``budget`` returns the budget of the rendering that runs."""
    own: dict[str, Callable[..., Any]] = {
        "trim": _method("strip"),
        **{name: _method(name) for name in ("upper", "lower", "capitalize")},
        **dict.fromkeys(("e", "escape"), _escape),
        "forceescape": lambda budget, value: marks.safe(escaped(budget, text_of(budget, value))),
        "string": text_of,
        "safe": lambda budget, value: marks.safe(text_of(budget, value)),
        "title": _title,
        "replace": _replace,
        "join": _join,
        "attr": _attr,
        "indent": _indent,
        "center": _center,
        "format": _format,
        "reverse": _reverse,
        "tojson": _tojson,
    }
    guarded = {name: _paid(function, budget) for name, function in own.items()}
    return guarded | {name: _guarded(name, FILTERS[name], budget) for name in _JINJAS}


def _paid(function: Callable[..., Any], budget: Callable[[], Budget]) -> Callable[..., Any]:
    """A filter of this module, which takes the budget as its first argument."""
    if function in (_join, _attr):

        @pass_environment
        def with_environment(environment: Environment, *args: Any, **kwargs: Any) -> Any:
            return function(budget(), environment, *args, **kwargs)

        return with_environment
    return lambda *args, **kwargs: function(budget(), *args, **kwargs)


def _guarded(
    name: str, function: Callable[..., Any], budget: Callable[[], Budget]
) -> Callable[..., Any]:
    """A filter of Jinja. Its input is paid for before the call, and its result after."""

    @functools.wraps(function)  # keeps Jinja's mark that the filter wants a context
    def run(*args: Any, **kwargs: Any) -> Any:
        one = budget()
        one.spend(ELEMENT)
        given = args[1:] if hasattr(function, "jinja_pass_arg") else args
        _check_arguments(name, given, kwargs)
        for value in given if name not in _LOOKING else ():
            if isinstance(value, str):
                # a list of its characters, for some
                one.spend(len(value) * (ELEMENT if name in ("list", "sort", "dictsort") else 1))
            elif name in _COMPARING:
                one.measure(value)
            elif isinstance(value, CONTAINERS):
                one.spend(ELEMENT * (1 + len(value)))
        result = function(*args, **kwargs)
        if isinstance(result, Iterator):
            return one.relay(result)  # true, and usable once, as Jinja's generator is
        if isinstance(result, str):
            return derived(one, name, result, *given) if name == "truncate" else result
        if isinstance(result, list):
            one.spend(ELEMENT * len(result))
        return result

    return run


def _check_arguments(name: str, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Refuse numbers that would make a small input large."""
    numbers = [value for value in (*given[1:], *named.values()) if isinstance(value, int)]
    if name in ("batch", "slice", "round", "int") and any(abs(n) > MAX_WIDTH for n in numbers):
        raise TemplateLimitError(f"it gives the filter '{name}' a number above {MAX_WIDTH}")
    if name == "sum":
        values = given[0] if given and isinstance(given[0], (list, tuple)) else ()
        if len(given) > 1 or named or not all(isinstance(v, (int, float)) for v in values):
            raise TemplateLimitError("the filter 'sum' of something that is not a list of numbers")


def _method(name: str) -> Callable[..., Any]:
    def run(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs:  # Jinja's name for the characters to trim
            args += (kwargs.pop("chars"),)
        return METHODS[str][name](budget, text_of(budget, value), *args, **kwargs)

    return run


def _escape(budget: Budget, value: Any) -> str:
    text = text_of(budget, value)
    return text if isinstance(text, marks.SafeText) else marks.safe(escaped(budget, text))


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, sought, other = (text_of(budget, one) for one in (value, old, new))
    return replace(budget, text, sought, other, -1 if count is None else count)


def _join(
    budget: Budget, environment: Environment, value: Any, d: str = "", attribute: Any = None
) -> str:
    items = budget.relay(value)
    if attribute is not None:
        items = map(make_attrgetter(environment, attribute), items)
    found = [text_of(budget, item) for item in items]
    between = text_of(budget, d)
    budget.spend(sum(map(len, found)) + len(between) * len(found))
    return marks.join(found, between)


def _attr(_: Budget, environment: Environment, value: Any, name: str) -> Any:
    return environment.getattr(value, name)


def _title(budget: Budget, value: Any) -> str:
    text = text_of(budget, value)
    budget.spend(ELEMENT * len(text) // 2)  # Jinja makes a list of the words
    return marks.recased(text, do_title)


def _indent(
    budget: Budget, value: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    text = text_of(budget, value)
    if not isinstance(width, str) and width > MAX_WIDTH:
        raise TemplateLimitError(f"it asks for a width above {MAX_WIDTH}")
    space = width if isinstance(width, str) else " " * width
    lines = METHODS[str]["splitlines"](budget, marks.join((text, "\n")))
    budget.spend(len(lines) * (len(space) + ELEMENT))
    begun = [
        marks.join((space, line)) if (line or (blank and i)) and (i or first) else line
        for i, line in enumerate(lines)
    ]
    if first and begun and not lines[0]:
        begun[0] = space  # Jinja also indents an empty first line
    return marks.join(begun, "\n")


def _center(budget: Budget, value: Any, width: int = 80) -> str:
    centred: str = METHODS[str]["center"](budget, text_of(budget, value), width)
    return centred


def _format(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise TypeError("can't handle positional and keyword arguments at the same time")
    return format_percent(budget, text_of(budget, value), kwargs or args)


def _reverse(budget: Budget, value: Any) -> Any:
    budget.measure(value)
    if isinstance(value, str):
        budget.spend(ELEMENT * len(value))
        return value[::-1]
    return budget.relay(reversed(list(value)))


def _tojson(
    budget: Budget,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter of this name in Transformers: no characters are escaped for HTML."""
    size = budget.measured(value)
    wide = len(indent) if isinstance(indent, str) else int(indent or 0)
    between = sum(len(one) for one in separators or ())
    budget.spend(6 * size.characters + size.values * (24 + between + wide * size.depth))
    if isinstance(value, Undefined):
        raise TypeError("tojson of something that is undefined")
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    return derived(budget, "tojson", text, value)
