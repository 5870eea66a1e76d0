"""Reads the keywords that belong to one type: numbers, strings, arrays, objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..problems import Problems, malformed
from ..sets.handles import both
from ..shapes import Array, Contains, Handle, Number, Object, Rest, Shape, String, Values
from ..strings.formats import FORMATS, FORMATS_WITHOUT_RULES, NUMBER_FORMATS
from ..strings.languages import check_pattern, pattern_matches
from ..strings.patterns import UnsupportedPattern
from .document import SchemaDocument
from .keywords import TYPES

__all__ = ["TypeReader", "count_of", "list_of"]


class TypeReader:
    """Makes shapes of the keywords of one schema, one type at a time."""

    def __init__(self, document: SchemaDocument, problems: Problems, *, wide: bool = False) -> None:
        self._document = document
        self._problems = problems
        self._wide = wide

    def shapes(self, pointer: str, schema: Mapping[str, Any]) -> list[Shape]:
        """A shape for each type that the schema admits, with the keywords of that type.

        Bounds of a shape may contradict each other. Raises `GrammarError` for a malformed keyword.
        """
        named = schema.get("type", list(TYPES))
        names = [named] if isinstance(named, str) else named
        if named == list(TYPES) and not self._wide and self._means_object(pointer, schema):
            names = ["object"]
        if not isinstance(names, list) or not names or any(name not in TYPES for name in names):
            raise malformed(pointer, "type", named, f"one or more of {', '.join(TYPES)}")
        if schema.get("nullable") is True and "type" in schema:
            names = [*names, "null"]
        values: list[Any] = [None] if "null" in names else []
        values += [False, True] if "boolean" in names else []
        shapes: list[Shape] = [Values(tuple(values))] if values else []
        if "number" in names or "integer" in names:
            shapes.append(self._number(pointer, schema, integer="number" not in names))
        readers: dict[str, Callable[[str, Mapping[str, Any]], Shape]] = {
            "string": self._string,
            "array": self._array,
            "object": self._object,
        }
        shapes += [read(pointer, schema) for name, read in readers.items() if name in names]
        return shapes

    def _number(self, pointer: str, schema: Mapping[str, Any], *, integer: bool) -> Number:
        """Bounds, divisor and format. ``exclusiveMinimum`` may be a boolean, as in draft 4."""
        bounds: dict[str, tuple[Fraction | None, bool]] = {}
        for side, sign in (("Minimum", 1), ("Maximum", -1)):
            exclusive, inclusive = f"exclusive{side}", side.lower()
            flag = schema.get(exclusive)
            plain = _number_of(pointer, schema, inclusive)
            strict = None if isinstance(flag, bool) else _number_of(pointer, schema, exclusive)
            bound, is_open = plain, flag is True
            if strict is not None and (plain is None or strict * sign >= plain * sign):
                bound, is_open = strict, True
            bounds[inclusive] = (bound, is_open)
        multiple = _number_of(pointer, schema, "multipleOf")
        if multiple is not None and multiple <= 0:
            raise malformed(pointer, "multipleOf", schema["multipleOf"], "a number above 0")
        (lower, lower_open), (upper, upper_open) = bounds["minimum"], bounds["maximum"]
        shape = Number(lower, upper, lower_open, upper_open, integer, multiple)
        named = schema.get("format")
        return shape if self._wide or not isinstance(named, str) else _of_format(shape, named)

    def _string(self, pointer: str, schema: Mapping[str, Any]) -> String:
        patterns = (schema["pattern"],) if "pattern" in schema else ()
        if patterns and not isinstance(patterns[0], str):
            raise malformed(pointer, "pattern", patterns[0], "a regular expression")
        if patterns and not self._is_supported("pattern", pointer, patterns[0]):
            patterns = ()
        named = schema.get("format")
        if named is not None and not isinstance(named, str):
            raise malformed(pointer, "format", named, "a string")
        formats = (named,) if named in FORMATS else ()
        if named is not None and not formats and named not in FORMATS_WITHOUT_RULES:
            self._problems.add("format", pointer, f"no rule for the format {named[:40]!r}")
        minimum = count_of(pointer, schema, "minLength") or 0
        maximum = count_of(pointer, schema, "maxLength")
        return String(minimum, maximum, patterns, formats, pointer=pointer)

    def _array(self, pointer: str, schema: Mapping[str, Any]) -> Array:
        """``items`` may be a list, with ``additionalItems``, as before draft 2020-12."""
        rest = "items"
        prefix: tuple[Handle, ...] = ()
        for keyword in ("prefixItems", "items"):
            if isinstance(schema.get(keyword), list):
                length = len(schema[keyword])
                prefix = tuple(
                    self._document.handle(pointer, keyword, index) for index in range(length)
                )
                rest = "items" if keyword == "prefixItems" else "additionalItems"
                break
            if keyword == "prefixItems" and keyword in schema:
                raise malformed(pointer, keyword, schema[keyword], "a list of schemas")
        items = self._document.handle(pointer, rest) if rest in schema else ()
        minimum = count_of(pointer, schema, "minItems") or 0
        maximum = count_of(pointer, schema, "maxItems")
        contains: tuple[Contains, ...] = ()
        if "contains" in schema:
            least = count_of(pointer, schema, "minContains")
            most = count_of(pointer, schema, "maxContains")
            handle = self._document.handle(pointer, "contains")
            contains = (Contains(handle, 1 if least is None else least, most),)
        unique = schema.get("uniqueItems") is True
        return Array(prefix, items, minimum, maximum, contains, unique, pointer)

    def _object(self, pointer: str, schema: Mapping[str, Any]) -> Object:
        properties = self._handles(pointer, schema, "properties")
        patterns = {
            pattern: handle
            for pattern, handle in self._handles(pointer, schema, "patternProperties").items()
            if self._is_supported("patternProperties", pointer, pattern)
        }
        for pattern, handle in patterns.items():
            for name in properties:
                if pattern_matches(pattern, name):
                    properties[name] = both(properties[name], handle)
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise malformed(pointer, "required", required, "a list of strings")
        has_rest = "additionalProperties" in schema
        rest = self._document.handle(pointer, "additionalProperties") if has_rest else ()
        names = self._document.handle(pointer, "propertyNames") if "propertyNames" in schema else ()
        return Object(
            properties=properties,
            required=frozenset(required),
            rests=(Rest(tuple(patterns.items()), rest),),
            names=names,
            open=has_rest or not ("properties" in schema or "patternProperties" in schema),
            minimum=count_of(pointer, schema, "minProperties") or 0,
            maximum=count_of(pointer, schema, "maxProperties"),
            pointer=pointer,
        )

    def _means_object(self, pointer: str, schema: Mapping[str, Any]) -> bool:
        """Whether a schema without a type is clearly meant for objects only.

        By the specification, every string satisfies ``{"properties": …}``. If a schema around
        this one, for the same value, states the type, that type counts.
        """
        around = self._document.same_value(pointer)
        return "properties" in schema and not any(
            {"type", "const", "enum"} & outer.keys() for outer in around
        )

    def dependencies(
        self, pointer: str, schema: Mapping[str, Any]
    ) -> Iterator[tuple[str, list[str], str | None]]:
        """Each dependency as (key, required keys, pointer of the required schema)."""
        for keyword in ("dependentRequired", "dependentSchemas", "dependencies"):
            wanted = schema.get(keyword, {})
            if not isinstance(wanted, Mapping):
                raise malformed(pointer, keyword, wanted, "an object")
            for key, value in wanted.items():
                if isinstance(value, list) and keyword != "dependentSchemas":
                    if not all(isinstance(name, str) for name in value):
                        raise malformed(pointer, keyword, value, "a list of strings")
                    yield key, value, None
                elif keyword == "dependentRequired":
                    raise malformed(pointer, keyword, value, "a list of strings")
                else:
                    yield key, [], self._document.child(pointer, keyword, key)

    def _is_supported(self, keyword: str, pointer: str, pattern: str) -> bool:
        try:
            check_pattern(pattern)
        except UnsupportedPattern as error:
            self._problems.add(keyword, pointer, str(error))
            return False
        except ValueError as error:
            raise malformed(pointer, keyword, pattern, f"a regular expression: {error}") from None
        return True

    def _handles(self, pointer: str, schema: Mapping[str, Any], keyword: str) -> dict[str, Handle]:
        value = schema.get(keyword, {})
        if not isinstance(value, Mapping):
            raise malformed(pointer, keyword, value, "an object of schemas")
        return {name: self._document.handle(pointer, keyword, name) for name in value}


def _of_format(shape: Number, name: str) -> Number:
    """Apply ``int32`` and the like, as OpenAPI defines them. A float must stay below 3.4e38."""
    if name not in NUMBER_FORMATS:
        return replace(shape, exponent=False) if name == "float" else shape
    low, high = map(Fraction, NUMBER_FORMATS[name])
    lower, upper = shape.lower, shape.upper
    if lower is None or lower < low:
        shape = replace(shape, lower=low, lower_open=False)
    if upper is None or upper > high:
        shape = replace(shape, upper=high, upper_open=False)
    return replace(shape, integer=True)


def count_of(pointer: str, schema: Mapping[str, Any], keyword: str) -> int | None:
    """The value of a keyword that counts characters, items or properties; None if it is absent."""
    value = schema.get(keyword)
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 0:
        raise malformed(pointer, keyword, value, "a whole number of at least 0")
    return int(value)


def list_of(
    pointer: str, schema: Mapping[str, Any], keyword: str, *, empty: bool = True
) -> list[Any]:
    """The value of a keyword that must be a list; not an empty list unless ``empty``."""
    value = schema[keyword]
    if not isinstance(value, list) or not (value or empty):
        raise malformed(pointer, keyword, value, "a list" if empty else "a list of schemas")
    return value


def _number_of(pointer: str, schema: Mapping[str, Any], keyword: str) -> Fraction | None:
    """The number as written: 0.1 is a tenth, not the nearest float. None if it is absent."""
    value = schema.get(keyword)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise malformed(pointer, keyword, value, "a number")
    return Fraction(repr(value) if isinstance(value, float) else value)
