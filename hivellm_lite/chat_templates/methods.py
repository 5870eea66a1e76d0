"""The methods of texts, dicts and lists that a chat template may call.

Each method pays for its work first, and keeps the marks of its texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from markupsafe import escape

from . import marked_text as marks
from .budget import CONTAINERS, ELEMENT, MAX_WIDTH, Budget, TemplateLimitError

__all__ = [
    "METHODS",
    "Method",
    "derived",
    "escaped",
    "format_percent",
    "replace",
    "text_of",
    "type_of",
]


class Method:
    """A method of a value, looked up but not yet called."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: object, name: str) -> None:
        self.owner = owner
        self.name = name

    def __call__(self, budget: Budget, *args: Any, **kwargs: Any) -> Any:
        kind = type_of(self.owner)
        assert kind is not None  # methods are made of known kinds only  # noqa: S101
        return METHODS[kind][self.name](budget, self.owner, *args, **kwargs)


def type_of(value: object) -> type | None:
    """The kind of ``value`` in `METHODS`; None if templates may call none of its methods."""
    return next((kind for kind in METHODS if isinstance(value, kind)), None)


def text_of(budget: Budget, value: object) -> str:
    """``str(value)``, paid for. A value that holds a user's text counts as the user's."""
    if isinstance(value, str):
        return value
    budget.measure(value)
    return derived(budget, "writing a list", str(value), value)


def texts_in(value: object) -> list[str]:
    """All texts in nested lists and dicts, which the budget has already measured."""
    found: list[str] = []
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, Mapping):
            pending += [*one.values(), *one]
        elif isinstance(one, CONTAINERS):
            pending += list(one)
    return found


def _width(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("a width must be a whole number")
    if value > MAX_WIDTH:
        raise TemplateLimitError(f"it asks for a width above {MAX_WIDTH}")
    return value


# --- texts ---------------------------------------------------------------------------


def _strip(left: bool, right: bool) -> Callable[..., str]:
    def strip(budget: Budget, text: str, characters: str | None = None) -> str:
        budget.spend(len(text))
        return marks.stripped(text, characters, left=left, right=right)

    return strip


def _split(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    n = text.count(sep) if sep else len(text) // 2
    budget.spend(len(text) + ELEMENT * (1 + n))
    if sep is None:
        return marks.pieces_of(text, str.split(text, None, maxsplit))
    return marks.split_at(text, sep, maxsplit)


def _rsplit(budget: Budget, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
    n = text.count(sep) if sep else len(text) // 2
    budget.spend(len(text) + ELEMENT * (1 + n))
    return marks.pieces_of(text, str.rsplit(text, sep, maxsplit))


def _splitlines(budget: Budget, text: str, keepends: bool = False) -> list[str]:
    budget.spend(len(text) * (1 + ELEMENT // 8))
    return marks.pieces_of(text, str.splitlines(text, keepends))


def _partition(name: str) -> Callable[..., tuple[str, ...]]:
    def partition(budget: Budget, text: str, sep: str) -> tuple[str, ...]:
        budget.spend(len(text) + 3 * ELEMENT)
        return tuple(marks.pieces_of(text, getattr(str, name)(text, sep)))

    return partition


def replace(budget: Budget, text: str, old: str, new: str, count: int = -1) -> str:
    """``text.replace(old, new, count)``."""
    n = text.count(old)
    budget.spend(len(text) + n * (len(new) + 8))
    if not old:
        return derived(budget, "replace", str.replace(text, old, new, count), text, new)
    return marks.join(marks.split_at(text, old, count), new)


def escaped(budget: Budget, text: str) -> str:
    """``text`` for HTML, as Jinja escapes it."""
    budget.spend(6 * len(text))
    return marks.mapped(text, lambda piece: str(escape(piece)))


def _recase(name: str) -> Callable[..., str]:
    def recase(budget: Budget, text: str) -> str:
        budget.spend(len(text))
        return marks.recased(text, getattr(str, name))

    return recase


def _join(budget: Budget, between: str, items: Any) -> str:
    found = list(budget.relay(items))
    budget.spend(sum(len(item) for item in found if isinstance(item, str)))
    budget.spend(len(between) * len(found))
    if not all(isinstance(item, str) for item in found):
        raise TypeError("join() of something that is no text")
    return marks.join((str(item) for item in found), between)


def _affix(name: str) -> Callable[..., str]:
    def remove(budget: Budget, text: str, affix: str) -> str:
        budget.spend(len(text))
        kept: str = getattr(str, name)(text, affix)
        start = 0 if name == "removesuffix" else len(text) - len(kept)
        return marks.cut(text, start, start + len(kept))

    return remove


def _pad(name: str) -> Callable[..., str]:
    def pad(budget: Budget, text: str, width: int, *fill: str) -> str:
        budget.spend(len(text) + _width(width))
        return derived(budget, name, getattr(str, name)(text, width, *fill), text, *fill)

    return pad


def _tell(name: str) -> Callable[..., Any]:
    """A method whose result is not a text."""

    def tell(budget: Budget, text: str, *args: Any) -> Any:
        budget.spend(len(text))
        return getattr(str, name)(text, *args)

    return tell


def _format(budget: Budget, text: str, *args: Any, **kwargs: Any) -> str:
    """``text.format(…)`` with fields that are numbers or names, and plain format specs."""
    parts: list[str] = []
    numbered = 0
    for literal, field, spec, conversion in Formatter().parse(text):
        parts.append(literal)
        if field is None:
            continue
        if not field:
            field, numbered = str(numbered), numbered + 1
        if not re.fullmatch(r"\d{1,3}|[^\W\d]\w*", field) or "{" in (spec or ""):
            raise TemplateLimitError(f"format() with the field {field[:40]!r} is not supported")
        value = args[int(field)] if field.isdigit() else kwargs[field]
        parts.append(_formatted(budget, value, spec or "", conversion))
    budget.spend(len(text))
    # The marks inside the pattern are not followed, so all of it counts as the user's.
    return derived(budget, "format", marks.join(parts), text)


def _formatted(budget: Budget, value: Any, spec: str, conversion: str | None) -> str:
    """One value in the form of a format spec."""
    if any(int(digits) > MAX_WIDTH for digits in re.findall(r"\d{1,9}", spec)):
        raise TemplateLimitError(f"it asks for a width above {MAX_WIDTH}")
    budget.measure(value)
    if conversion in ("r", "a"):
        value = derived(budget, "format", (repr if conversion == "r" else ascii)(value), value)
    elif conversion or not isinstance(value, (str, int, float)):
        value = text_of(budget, value)
    if not spec and isinstance(value, str):
        return value
    return derived(budget, "format", format(value, spec), value)


_PERCENT = re.compile(r"%(?:\((\w+)\))?([#0\- +]*)(\d*)(?:\.(\d*))?([a-zA-Z%])")


def format_percent(budget: Budget, text: str, values: Any) -> str:
    """``text % values``."""
    parts: list[str] = []
    left = list(values) if isinstance(values, tuple) else [values]
    place = 0
    budget.spend(len(text))

    def literal(stop: int) -> None:
        if "%" in text[place:stop]:
            raise ValueError("incomplete or unsupported format after %")
        parts.append(marks.cut(text, place, stop))

    for found in _PERCENT.finditer(text):
        name, flags, width, precision, kind = found.groups()
        literal(found.start())
        place = found.end()
        if kind == "%":
            parts.append("%")
            continue
        if name is None and not left:
            raise TypeError("not enough arguments for format string")
        value = left.pop(0) if name is None else values[name]
        if max(int(width or 0), int(precision or 0)) > MAX_WIDTH:
            raise TemplateLimitError(f"it asks for a width above {MAX_WIDTH}")
        budget.measure(value)
        if kind == "s" and not width and precision is None:
            parts.append(text_of(budget, value))
        else:
            point = "" if precision is None else f".{precision}"
            result = f"%{flags}{width}{point}{kind}" % (value,)
            parts.append(derived(budget, "%", result, value))
    literal(len(text))
    return marks.join(parts)


def derived(budget: Budget, operation: str, result: str, *sources: Any) -> str:
    """The result of an operation that cannot tell which characters came from which source.

    If a source mixes the template's text with a user's, the operation is noted in the
    budget: names of control tokens in the template's part are lost.
    """
    texts = [text for source in sources for text in texts_in(source)]
    if not any(isinstance(text, marks.MarkedText) for text in texts):
        return result
    if any(marks.is_mixed(text) for text in texts):
        budget.mixed_in = operation
    return marks.like(result, texts)


# --- dicts and lists -----------------------------------------------------------------


def _get(budget: Budget, owner: Mapping[Any, Any], key: Any, default: Any = None) -> Any:
    budget.measure(key)
    return owner.get(key, default)


def _view(name: str) -> Callable[..., Any]:
    return lambda _, owner: getattr(owner, name)()


def _search(name: str) -> Callable[..., Any]:
    def search(budget: Budget, owner: Sequence[Any], value: Any) -> Any:
        budget.measure(owner)
        budget.measure(value)
        return getattr(owner, name)(value)

    return search


METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    str: {
        "strip": _strip(True, True),
        "lstrip": _strip(True, False),
        "rstrip": _strip(False, True),
        "split": _split,
        "rsplit": _rsplit,
        "splitlines": _splitlines,
        "partition": _partition("partition"),
        "rpartition": _partition("rpartition"),
        "replace": replace,
        "join": _join,
        "format": _format,
        **{
            name: _recase(name)
            for name in ("upper", "lower", "capitalize", "title", "swapcase", "casefold")
        },
        **{name: _affix(name) for name in ("removeprefix", "removesuffix")},
        **{name: _pad(name) for name in ("center", "ljust", "rjust", "zfill")},
        **{
            name: _tell(name)
            for name in (
                *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
                *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier"),
                *("islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"),
            )
        },
    },
    dict: {"get": _get, **{name: _view(name) for name in ("items", "keys", "values")}},
    list: {name: _search(name) for name in ("index", "count")},
    tuple: {name: _search(name) for name in ("index", "count")},
}
