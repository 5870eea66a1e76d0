"""Schemas with values that satisfy them, values that do not, and valid ones left out.

Every keyword stands in some case. ``valid`` and ``invalid`` are what a validator
says; ``narrowed`` satisfies the schema but is not written, as the documentation
says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    name: str
    schema: Any
    valid: list[Any] = field(default_factory=list)
    invalid: list[Any] = field(default_factory=list)
    narrowed: list[Any] = field(default_factory=list)


def _string(**keywords: Any) -> dict[str, Any]:
    return {"type": "string", **keywords}


def _integer(**keywords: Any) -> dict[str, Any]:
    return {"type": "integer", **keywords}


def _number(**keywords: Any) -> dict[str, Any]:
    return {"type": "number", **keywords}


def _array(**keywords: Any) -> dict[str, Any]:
    return {"type": "array", **keywords}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_EVERYTHING = [None, True, 0, -1.5, "", 'é\n"\\', [], [[1], {}], {}, {"a": {"b": [None]}}]

_TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "label": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["label"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}

_TYPES = [
    Case("true", True, _EVERYTHING),
    Case("empty", {}, _EVERYTHING),
    Case("only annotations", {"title": "t", "$comment": "c", "default": 1}, _EVERYTHING),
    Case("unknown keyword", {"x-colour": "red"}, _EVERYTHING),
    Case("null", {"type": "null"}, [None], [0, False, "", "null"]),
    Case("boolean", {"type": "boolean"}, [True, False], [None, 0, 1, "true"]),
    Case("integer", _integer(), [0, -1, 10, 2**63], [1.5, "1", True, None], [1.0]),
    Case("number", _number(), [0, 1.5, -0.25, 1e-07, 1e20], ["1", None, True]),
    Case("string", _string(), ["", "a", 'é"\\/\n\x00\x1f\x7f\u2028😀'], [None, 1, ["a"]]),
    Case("array", _array(), [[], [1, "a", [None]]], [{}, None, "[]"]),
    Case("object", {"type": "object"}, [{}, {"a": 1, "b": {"c": []}}], [[], None, "{}"]),
    Case("list of types", {"type": ["string", "null"]}, ["", "x", None], [1, [], {}, False]),
    Case("integer or number", {"type": ["integer", "number"]}, [1, 1.5], ["1", None]),
    Case("length without type", {"minLength": 2}, ["ab", 1, None, [], {}], ["a", ""]),
    Case("minimum without type", {"minimum": 3}, [3, "a", None, [], {}], [2, 2.5]),
    Case("items without type", {"items": {"type": "null"}}, [[None], [], 1, "a", {}], [[1]]),
    Case("required without type", {"required": ["a"]}, [{"a": 1}, 1, []], [{}]),
    Case("enum", {"enum": ["a", 1, None, [1, {"b": 2}]]}, ["a", 1, None, [1, {"b": 2}]], ["b", 2]),
    Case("enum of one type", {"type": "string", "enum": ["a", 1, "b"]}, ["a", "b"], [1, "c"]),
    Case("enum in range", {"enum": [1, 5, 9], "minimum": 4}, [5, 9], [1, 4]),
    Case("enum with pattern", {"enum": ["ab", "cd"], "pattern": "^a"}, ["ab"], ["cd"]),
    Case("enum of floats", {"enum": [1.0, 2.5]}, [1.0, 2.5], [2, "1.0"]),
    Case("enum tells true from one", {"enum": [1, False]}, [1, False], [True, 0]),
    Case("const", {"const": {"a": [1, "é"]}}, [{"a": [1, "é"]}], [{"a": [1]}, {}, None]),
    Case("const false", {"const": False}, [False], [0, None, True]),
    Case("escaped const", {"const": 'a"\\\n'}, ['a"\\\n'], ['a"\\', "a"]),
    Case(
        "const among objects", {"const": {"a": 1}, **_object("a", a=_integer())}, [{"a": 1}], [{}]
    ),
]

_NUMBERS = [
    Case("minimum", _integer(minimum=17), [17, 18, 99, 100, 10**9], [16, 0, -17, 9]),
    Case("maximum", _integer(maximum=17), [17, 9, 0, -1, -(10**9)], [18, 99, 100]),
    Case("range", _integer(minimum=-12, maximum=105), [-12, -9, 0, 99, 105], [-13, 106, 200]),
    Case("one value", _integer(minimum=7, maximum=7), [7], [6, 8, 77]),
    Case("negative range", _integer(minimum=-105, maximum=-12), [-105, -12, -99], [-11, -106, 12]),
    Case(
        "exclusive bounds", _integer(exclusiveMinimum=0, exclusiveMaximum=10), [1, 9], [0, 10, -1]
    ),
    Case("both kinds of minimum", _integer(minimum=5, exclusiveMinimum=5), [6], [5, 4]),
    Case("fractional bounds", _integer(minimum=1.5, maximum=3.5), [2, 3], [1, 4]),
    Case(
        "exclusive as in draft 4",
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            **_integer(minimum=3, exclusiveMinimum=True),
        },
        [4],
        [3],
    ),
    Case("range of digits", _integer(minimum=199, maximum=2003), [199, 999, 2003], [198, 2004]),
    Case("large bound", _integer(minimum=10**25), [10**25, 10**25 + 1], [10**24, 0]),
    Case(
        "number range",
        _number(minimum=0.5, maximum=2.25),
        [0.5, 0.51, 1, 1.0, 2, 2.25, 0.75],
        [0.49, 0, 2.26, 3, -1],
    ),
    Case(
        "number between", _number(exclusiveMinimum=0, exclusiveMaximum=1), [0.5, 0.001], [0, 1, 1.0]
    ),
    Case("close bounds", _number(minimum=0.15, maximum=0.25), [0.15, 0.2, 0.25], [0.1, 0.3, 0]),
    Case("number from zero", _number(minimum=0), [0, 0.0, 12.5, 10**6], [-0.5, -1]),
    Case("number below zero", _number(maximum=-0.5), [-0.5, -0.75, -12], [-0.25, 0, 1]),
    Case("number around zero", _number(minimum=-1.5, maximum=1.5), [-1.5, 0, -0.25, 1.5], [1.75]),
    Case("multiple of ten", _integer(multipleOf=10), [0, 10, -50, 100], [1, 15, -5]),
    Case("multiple of one", _number(multipleOf=1), [0, 3, -7], [0.5]),
    Case("cents", _number(multipleOf=0.25, minimum=0, maximum=1), [0, 0.25, 0.5, 1], [0.3, 1.25]),
    Case("few multiples", _integer(multipleOf=7, minimum=1, maximum=30), [7, 28], [0, 8, 35]),
    Case(
        "multiple of ten in range",
        _integer(multipleOf=100, minimum=250, maximum=10**7),
        [300, 1000, 10**7],
        [200, 350, 10**7 + 100],
    ),
    Case("tenths", _number(multipleOf=0.5, minimum=-1, maximum=1), [-0.5, 0, 1.0], [0.25, 1.5]),
]

_STRINGS = [
    Case("minLength", _string(minLength=2), ["ab", "é😀", "abc"], ["a", "", "😀"]),
    Case("maxLength", _string(maxLength=2), ["", "ab", "é😀", "\n\\"], ["abc", "😀😀😀"]),
    Case("both lengths", _string(minLength=1, maxLength=1), ["a", "😀", '"'], ["", "ab"]),
    Case("long", _string(maxLength=1100), ["", "a" * 1100, "a" * 999], ["a" * 1101]),
    Case("pattern is searched", _string(pattern="[0-9]"), ["7", "room 7b"], ["", "room"]),
    Case("anchored", _string(pattern="^[a-z]+$"), ["a", "abc"], ["", "a1", "A", " a"]),
    Case("anchored at the start", _string(pattern="^ab"), ["ab", "abc"], ["cab", "a"]),
    Case("anchored at the end", _string(pattern="ab$"), ["ab", "cab"], ["abc", "a"]),
    Case("anchors of alternatives", _string(pattern="^a|b$"), ["a!", "!b", "a"], ["!a", "b!"]),
    Case("anchors in a group", _string(pattern="^(a|b)$"), ["a", "b"], ["ab", ""]),
    Case("group with anchors", _string(pattern="(^a|b$)"), ["ax", "xb"], ["xa", "bx"]),
    Case("counts", _string(pattern="^a{2}b{1,2}c{2,}$"), ["aabcc", "aabbccc"], ["abcc", "aabc"]),
    Case("lazy", _string(pattern="^a+?b*?c??$"), ["a", "aabbc"], ["b", "acc"]),
    Case("shorthands", _string(pattern=r"^\d\w\s\D\W\S$"), ["1a b c"], ["aa b c", "1a bcc"]),
    Case("class", _string(pattern=r"^[\w.+-]+$"), ["a.b+c-d_1"], ["a b", ""]),
    Case("negated class", _string(pattern=r'^[^a-c"]$'), ["d", "\n", "\\", "é"], ["a", '"']),
    Case("backspace", _string(pattern=r"^[\b]$"), ["\b"], ["b", ""]),
    Case("dot", _string(pattern="^.$"), ["a", "é", '"', "\t"], ["\n", "", "ab"]),
    Case("escapes", _string(pattern=r"^\^\$\.\*\/\(\)\[\]\{\}\|\\$"), ["^$.*/()[]{}|\\"], ["x"]),
    Case("code points", _string(pattern=r"^\x41\u00e9\t$"), ["Aé\t"], ["A", "Aé"]),
    Case("named group", _string(pattern="^(?:a)(?P<x>b)$"), ["ab"], ["a"]),
    Case("literal brace", _string(pattern="^a{x$"), ["a{x"], ["aax"]),
    Case("quotes in pattern", _string(pattern='^"\\\\"$'), ['"\\"'], ["", '""']),
    Case("empty pattern", _string(pattern=""), ["", "a\n"], [1]),
    Case("only anchors", _string(pattern="^$"), [""], ["a"]),
    Case(
        "pattern with length",
        _string(pattern="^[a-z]+$", minLength=2, maxLength=3),
        ["ab", "abc"],
        ["a", "abcd", "AB"],
    ),
    Case(
        "prefix with length", _string(pattern="^id-.*$", maxLength=5), ["id-", "id-ab"], ["id-abc"]
    ),
    Case("pattern of fixed length", _string(pattern="^[A-Z]{3}$", maxLength=5), ["ABC"], ["AB"]),
    Case(
        "date", _string(format="date"), ["2024-02-29", "2023-12-31"], ["2023-02-29", "2023-13-01"]
    ),
    Case(
        "time", _string(format="time"), ["23:59:59Z", "00:00:00.5+01:00"], ["24:00:00Z", "1:0:0Z"]
    ),
    Case(
        "date-time",
        _string(format="date-time"),
        ["2024-01-31T12:00:00Z", "1999-04-30T00:00:00.123-11:30"],
        ["2024-04-31T12:00:00Z", "2024-01-31"],
    ),
    Case(
        "duration",
        _string(format="duration"),
        ["P1D", "PT1H30M", "P1Y2M3DT4S", "P2W"],
        ["P", "1D", "PT"],
    ),
    Case(
        "uuid",
        _string(format="uuid"),
        ["123e4567-e89b-12d3-a456-426614174000"],
        ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
    ),
    Case("email", _string(format="email"), ["a.b+c@example.org"], ["a", "a@", "@b"]),
    Case("ipv4", _string(format="ipv4"), ["0.0.0.0", "192.168.255.1"], ["256.1.1.1", "1.1.1"]),
    Case(
        "ipv6",
        _string(format="ipv6"),
        ["::", "::1", "1::", "2001:db8::ff00:42:8329", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"],
        ["1:2:3:4:5:6:7", "1::2::3", "12345::"],
    ),
    Case("hostname", _string(format="hostname"), ["a", "ex-1.example.org"], ["-a", "a..b", ""]),
    Case("uri", _string(format="uri"), ["https://a.org/b?c=d#e", "x://h"], ["a b", "/a", "a"]),
    Case("json-pointer", _string(format="json-pointer"), ["", "/a/0/b~1c"], ["a", "/~2"]),
    Case("format with length", _string(format="date", minLength=10), ["2024-01-01"], ["x" * 10]),
]

_ARRAYS = [
    Case("items", _array(items=_integer()), [[], [1], [1, 2]], [["a"], [1, None]]),
    Case("minItems", _array(items=_integer(), minItems=2), [[1, 2], [1, 2, 3]], [[], [1]]),
    Case("maxItems", _array(items=_integer(), maxItems=2), [[], [1], [1, 2]], [[1, 2, 3]]),
    Case("no items", _array(maxItems=0), [[]], [[1]]),
    Case("exactly one", _array(minItems=1, maxItems=1), [[1], ["a"]], [[], [1, 2]]),
    Case("items false", _array(items=False), [[]], [[1]]),
    Case(
        "prefixItems",
        _array(prefixItems=[_integer(), _string()]),
        [[], [1], [1, "a"], [1, "a", None]],
        [["a"], [1, 1]],
    ),
    Case(
        "closed tuple",
        _array(prefixItems=[_integer(), _string()], items=False, minItems=2),
        [[1, "a"]],
        [[1], [], [1, "a", 1]],
    ),
    Case(
        "tuple with other items",
        _array(prefixItems=[_integer()], items=_string(), minItems=1, maxItems=3),
        [[1], [1, "a"], [1, "a", "b"]],
        [[], ["a"], [1, 1], [1, "a", "b", "c"]],
    ),
    Case(
        "tuple as in draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **_array(items=[_integer()], additionalItems=_string()),
        },
        [[], [1], [1, "a"]],
        [["a"], [1, 1]],
    ),
    Case(
        "unique single item",
        _array(items=_integer(), maxItems=1, uniqueItems=True),
        [[], [1]],
        [[1, 2]],
    ),
    Case("items may be anything", _array(minItems=2), [[1, {}], [[], None, "a"]], [[], [1]]),
    Case("contains nothing", _array(contains=_integer(), minContains=0), [[], ["a"]], [{}]),
]

_OBJECTS = [
    Case("required", _object("a", a=_integer()), [{"a": 1}], [{}, {"a": "x"}], [{"a": 1, "b": 2}]),
    Case(
        "optional",
        _object(a=_integer(), b=_string(), c={}),
        [{}, {"a": 1}, {"b": ""}, {"c": None}, {"a": 1, "c": []}, {"a": 1, "b": "", "c": 2}],
        [{"a": "x"}, {"b": 1}],
        [{"b": "", "a": 1}],
    ),
    Case(
        "optional around required",
        _object("c", a=_integer(), b=_integer(), c=_integer(), d=_integer()),
        [{"c": 1}, {"a": 1, "c": 1}, {"b": 1, "c": 1, "d": 1}, {"a": 1, "b": 1, "c": 1, "d": 1}],
        [{}, {"a": 1}, {"d": 1}],
    ),
    Case(
        "closed",
        {**_object(a=_integer()), "additionalProperties": False},
        [{}, {"a": 1}],
        [{"b": 1}, {"a": 1, "b": 1}],
    ),
    Case(
        "additionalProperties",
        {**_object(a=_integer(), ab=_integer()), "additionalProperties": _string()},
        [{}, {"a": 1}, {"b": "x"}, {"ab": 1, "abc": "x", "": "y"}, {"a": 1, 'é"\n': "x"}],
        [{"a": "x"}, {"b": 1}, {"ab": "x"}, {"abc": 1}],
    ),
    Case(
        "additionalProperties true",
        {**_object("a", a=_integer()), "additionalProperties": True},
        [{"a": 1}, {"a": 1, "b": [None]}],
        [{}, {"a": "x"}],
    ),
    Case(
        "dictionary",
        {"type": "object", "additionalProperties": _integer()},
        [{}, {"a": 1}, {"a": 1, "b": 2}],
        [{"a": "x"}],
    ),
    Case("empty object", {"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
    Case(
        "unlisted required",
        {"type": "object", "required": ["b", "a"]},
        [{"a": 1, "b": 2}],
        [{"a": 1}, {}],
    ),
    Case(
        "required additional property",
        {"type": "object", "required": ["a"], "additionalProperties": _integer()},
        [{"a": 1}, {"a": 1, "b": 2}],
        [{}, {"a": "x"}, {"b": 1}],
    ),
    Case("forbidden property", _object(a=False, b=_integer()), [{}, {"b": 1}], [{"a": 1}]),
    Case(
        "minProperties",
        {**_object(a={}, b={}, c={}), "minProperties": 2},
        [{"a": 1, "c": 1}],
        [{"a": 1}],
    ),
    Case(
        "one property at least",
        {**_object(a={}, b={}), "minProperties": 1},
        [{"a": 1}, {"b": 1}],
        [{}],
    ),
    Case(
        "maxProperties",
        {**_object("b", a={}, b={}, c={}), "maxProperties": 2},
        [{"b": 1}, {"a": 1, "b": 1}, {"b": 1, "c": 1}],
        [{"a": 1, "b": 1, "c": 1}, {"a": 1, "c": 1}],
    ),
    Case(
        "size of a dictionary",
        {"type": "object", "additionalProperties": {}, "minProperties": 1, "maxProperties": 2},
        [{"a": 1}, {"a": 1, "b": 1}],
        [{}, {"a": 1, "b": 1, "c": 1}],
    ),
    Case("maxProperties zero", {"type": "object", "maxProperties": 0}, [{}], [{"a": 1}]),
    Case(
        "patternProperties",
        {"type": "object", "patternProperties": {"^s_": _string(), "^i_": _integer()}},
        [{}, {"s_a": "x"}, {"i_b": 1, "s_": "y"}],
        [{"s_a": 1}, {"i_b": "x"}],
        [{"other": 1}],
    ),
    Case(
        "patternProperties that overlap",
        {"type": "object", "patternProperties": {"a": _integer(), "b": {"minimum": 3}}},
        [{}, {"ab": 3}, {"b": 4, "a": 5}, {"b": "x"}],
        [{"ab": 2}, {"a": "x"}],
    ),
    Case(
        "patternProperties of two schemas",
        {
            "allOf": [
                {
                    "type": "object",
                    "patternProperties": {"^x": _integer()},
                    "additionalProperties": {"maximum": 9},
                },
                {"patternProperties": {"^x": {"minimum": 3}, "^y": _string()}},
            ]
        },
        [{}, {"x": 3, "y": "a"}],
        [{"x": 2}, {"x": "a"}, {"y": 1}, {"z": 10}],
        [{"z": 3}],
    ),
    Case(
        "patternProperties beside properties",
        {
            **_object("id", id=_integer()),
            "patternProperties": {"^x-": _string()},
            "additionalProperties": False,
        },
        [{"id": 1}, {"id": 1, "x-a": "b"}],
        [{"x-a": "b"}, {"id": 1, "y": 1}, {"id": 1, "x-a": 1}],
    ),
    Case(
        "patternProperties about a property",
        {**_object("x-a", **{"x-a": {"maxLength": 2}}), "patternProperties": {"^x": _string()}},
        [{"x-a": "ab"}],
        [{"x-a": 1}, {"x-a": "abc"}],
    ),
    Case(
        "propertyNames",
        {"type": "object", "propertyNames": _string(pattern="^[a-z]+$")},
        [{}, {"a": 1, "bc": 2}],
        [{"A": 1}, {"": 1}],
    ),
    Case(
        "propertyNames by length",
        {"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": _integer()},
        [{}, {"abc": 1}],
        [{"abcd": 1}, {"abc": "x"}],
    ),
    Case(
        "propertyNames from a list",
        {
            "type": "object",
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": _integer(),
        },
        [{}, {"a": 1}, {"a": 1, "b": 2}],
        [{"c": 1}, {"a": "x"}],
    ),
    Case(
        "propertyNames excludes a property",
        {**_object(ab={}, c={}), "propertyNames": {"maxLength": 1}},
        [{}, {"c": 1}],
        [{"ab": 1}],
    ),
    Case(
        "dependentRequired",
        {**_object(card={}, address={}), "dependentRequired": {"card": ["address"]}},
        [{}, {"address": 1}, {"card": 1, "address": 2}],
        [{"card": 1}],
    ),
    Case(
        "dependentSchemas",
        {
            **_object(kind={}, size=_integer()),
            "dependentSchemas": {"kind": {"properties": {"size": {"minimum": 5}}}},
        },
        [{"size": 1}, {"kind": 1, "size": 5}],
        [{"kind": 1, "size": 4}],
    ),
    Case(
        "dependencies as in draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **_object(a={}, b={}),
            "dependencies": {"a": ["b"]},
        },
        [{}, {"b": 1}, {"a": 1, "b": 1}],
        [{"a": 1}],
    ),
    Case(
        "unevaluatedProperties",
        {
            "allOf": [_object("a", a=_integer())],
            **_object(b=_string()),
            "unevaluatedProperties": False,
        },
        [{"a": 1}, {"b": "", "a": 1}],
        [{"a": 1, "c": 1}, {}],
    ),
    Case("key with quotes", _object('a"\\é\n', **{'a"\\é\n': _integer()}), [{'a"\\é\n': 1}], [{}]),
]

_COMBINED = [
    Case("anyOf", {"anyOf": [_integer(), _string()]}, [1, "a"], [None, 1.5, []]),
    Case(
        "anyOf with siblings",
        {"type": "integer", "anyOf": [{"maximum": 0}, {"minimum": 9}]},
        [0, 9],
        [5],
    ),
    Case(
        "anyOf of required",
        {**_object(a={}, b={}), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}],
        [{}],
    ),
    Case(
        "oneOf of types",
        {"oneOf": [_integer(), _string(), {"type": "null"}]},
        [1, "a", None],
        [[], 1.5],
    ),
    Case(
        "oneOf with discriminator",
        {
            "oneOf": [
                _object("kind", "size", kind={"const": "box"}, size=_integer()),
                _object("kind", kind={"enum": ["ball", "cone"]}, radius=_number()),
            ]
        },
        [{"kind": "box", "size": 1}, {"kind": "ball"}, {"kind": "cone", "radius": 1.5}],
        [{"kind": "box"}, {"kind": "x"}, {}],
    ),
    Case(
        "oneOf of different keys",
        {"oneOf": [_object("a", a={}), _object("b", b={})]},
        [{"a": 1}, {"b": 1}],
        [{}, {"a": 1, "b": 1}],
    ),
    Case("oneOf of ranges", {"oneOf": [_integer(maximum=3), _integer(minimum=4)]}, [3, 4], ["a"]),
    Case(
        "oneOf of ranges that touch",
        {"oneOf": [_number(exclusiveMaximum=3), _number(minimum=3)]},
        [2.5, 3],
        ["a"],
    ),
    Case(
        "oneOf with a forbidden key",
        {"oneOf": [_object("b", a=False, b={}), _object("a", "b", a={}, b={})]},
        [{"b": 1}, {"a": 1, "b": 1}],
        [{}, {"a": 1}],
    ),
    Case(
        "oneOf of lengths",
        {"oneOf": [_string(maxLength=1), _string(minLength=2)]},
        ["a", "ab"],
        [1],
    ),
    Case(
        "oneOf of tuples",
        {"oneOf": [_array(prefixItems=[{"const": k}], minItems=1) for k in ("a", "b")]},
        [["a"], ["b", 1]],
        [[], ["c"]],
    ),
    Case("oneOf of enums", {"oneOf": [{"enum": [1, 2]}, {"enum": [3]}]}, [1, 2, 3], [4]),
    Case(
        "allOf of objects",
        {"allOf": [_object("a", a=_integer()), _object("b", b=_string())]},
        [{"a": 1, "b": "x"}],
        [{"a": 1}, {"b": "x"}, {"a": "x", "b": "x"}],
    ),
    Case(
        "allOf about the same property",
        {"allOf": [_object("a", a=_integer(minimum=3)), _object(a=_integer(maximum=5))]},
        [{"a": 3}, {"a": 5}],
        [{"a": 2}, {"a": 6}, {}],
    ),
    Case(
        "allOf of numbers",
        {"allOf": [_integer(minimum=2), _number(maximum=4)]},
        [2, 4],
        [1, 5, 2.5],
    ),
    Case(
        "allOf of strings",
        {"allOf": [_string(minLength=2), _string(maxLength=3)]},
        ["ab"],
        ["a", "abcd"],
    ),
    Case(
        "allOf of pattern and length",
        {"allOf": [_string(pattern="^a*$"), {"minLength": 2}]},
        ["aa"],
        ["a"],
    ),
    Case(
        "allOf of arrays",
        {"allOf": [_array(minItems=1), _array(items=_integer())]},
        [[1]],
        [[], ["a"]],
    ),
    Case("allOf of enums", {"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, [2], [1, 3]),
    Case(
        "allOf of multiples",
        {"allOf": [_integer(multipleOf=5), {"multipleOf": 2}]},
        [10, -20],
        [5, 2],
    ),
    Case(
        "allOf closes",
        {
            "allOf": [
                {"type": "object", "additionalProperties": _integer()},
                {"type": "object", "additionalProperties": {"minimum": 3}},
            ]
        },
        [{}, {"a": 3}],
        [{"a": 2}, {"a": "x"}],
    ),
    Case("not anything but", {"anyOf": [{"not": {}}, _integer()]}, [1], ["a"]),
    Case("anyOf with false", {"anyOf": [False, _integer()]}, [1], ["a"]),
    Case("allOf with true", {"allOf": [True, _integer()]}, [1], ["a"]),
]

_REFERENCES = [
    Case(
        "tree",
        _TREE,
        [{"label": "a"}, {"label": "a", "children": [{"label": "b", "children": []}]}],
        [{}, {"label": 1}, {"label": "a", "children": [{}]}],
    ),
    Case(
        "root refers to itself",
        {**_object("v", v=_integer(), next={"$ref": "#"})},
        [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}],
        [{}, {"v": 1, "next": {}}],
    ),
    Case(
        "list by null",
        {
            "$defs": {
                "cell": {
                    "anyOf": [{"type": "null"}, _object("v", "n", v={}, n={"$ref": "#/$defs/cell"})]
                }
            },
            "$ref": "#/$defs/cell",
        },
        [None, {"v": 1, "n": None}, {"v": 1, "n": {"v": 2, "n": None}}],
        [1, {"v": 1}],
    ),
    Case(
        "definitions",
        {"definitions": {"a/b~c": _integer()}, "$ref": "#/definitions/a~1b~0c"},
        [1],
        ["a"],
    ),
    Case(
        "reference with siblings",
        {"$defs": {"n": _integer()}, "$ref": "#/$defs/n", "minimum": 3},
        [3],
        [2],
    ),
    Case("index in a reference", {"allOf": [_integer()], "$ref": "#/allOf/0"}, [1], ["a"]),
    Case(
        "anchor in a list",
        {
            "anyOf": [{"enum": [{"$anchor": "n"}]}, {"$anchor": "n", **_integer()}],
            "items": {"$ref": "#n"},
        },
        [1, {"$anchor": "n"}],
        ["a", []],
    ),
    Case("anchor", {"$defs": {"n": {"$anchor": "num", **_integer()}}, "$ref": "#num"}, [1], ["a"]),
    Case(
        "own name",
        {
            "$id": "https://example.org/s",
            "$defs": {"n": _integer()},
            "$ref": "https://example.org/s#/$defs/n",
        },
        [1],
        ["a"],
    ),
    Case(
        "dynamic reference",
        {"$dynamicAnchor": "t", **_array(items={"$dynamicRef": "#t"})},
        [[], [[]]],
        [[1]],
    ),
    Case(
        "reference into a property",
        _object("a", a=_integer(), b={"$ref": "#/properties/a"}),
        [{"a": 1, "b": 2}],
        [{"a": 1, "b": ""}],
    ),
    Case(
        "impossible branch of a recursion",
        {
            "anyOf": [_integer(), _object("x", x={"$ref": "#/$defs/never"})],
            "$defs": {"never": _object("x", x={"$ref": "#/$defs/never"})},
        },
        [1],
        [{}, {"x": 1}],
    ),
    Case(
        "tool call",
        {
            "type": "object",
            "title": "Call",
            "properties": {
                "name": {"enum": ["get_weather", "search"]},
                "arguments": {
                    "anyOf": [
                        {
                            "type": "object",
                            "properties": {
                                "city": {"type": "string", "minLength": 1, "description": "where"},
                                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                            },
                            "required": ["city"],
                            "additionalProperties": False,
                        },
                        {
                            "type": "object",
                            "properties": {
                                "query": {"type": "string"},
                                "limit": {"type": ["integer", "null"]},
                            },
                            "required": ["query", "limit"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        },
        [
            {"name": "get_weather", "arguments": {"city": "Oslo", "days": 14}},
            {"name": "search", "arguments": {"query": "", "limit": None}},
        ],
        [
            {"name": "get_weather", "arguments": {"city": ""}},
            {"name": "other", "arguments": {"city": "Oslo"}},
            {"name": "search", "arguments": {"query": "x"}},
        ],
    ),
]

_LANGUAGES = [
    Case("look-ahead", _string(pattern="^(?=.*[0-9])[a-z0-9]{2,4}$"), ["a1", "12"], ["ab", "1"]),
    Case("negative look-ahead", _string(pattern=r"^(?!\.)[a-z.]+$"), ["a."], [".a", ""]),
    Case("look-behind", _string(pattern="(?<!a)b$"), ["b", "cb"], ["ab", "ba"]),
    Case("word boundary", _string(pattern=r"\bok\b"), ["ok", "is ok!"], ["okay", "look"]),
    Case("anchor in the middle", _string(pattern="(^|-)a($|-)"), ["a", "b-a-c"], ["ba", "ab"]),
    Case(
        "two patterns",
        {"allOf": [_string(pattern="^https://"), {"pattern": r"\.git$"}]},
        ["https://a.git"],
        ["https://a", "a.git"],
    ),
    Case(
        "pattern and format",
        _string(format="date", pattern="-0[12]-"),
        ["2024-02-29", "1999-01-31"],
        ["2024-03-01", "x-01-x"],
    ),
    Case(
        "loop with length",
        _string(pattern="^[a-z]+(-[a-z]+)*$", minLength=3, maxLength=5),
        ["a-b", "abcde"],
        ["a", "a--b", "abc-de"],
    ),
    Case("search with length", _string(pattern="[0-9]", maxLength=2), ["1", "a1"], ["", "ab1"]),
    Case("not a pattern", _string(**{"not": {"pattern": "^a"}}), ["", "ba"], ["a", "ab"]),
    Case("not an enum", _string(**{"not": {"enum": ["a", "b"]}}), ["", "ab"], ["a", "b"]),
    Case(
        "patternProperties that exclude one another",
        {
            "type": "object",
            "patternProperties": {"^x-": {}, "^[1-5][0-9]{2}$": _string()},
            "additionalProperties": False,
        },
        [{"x-rate": 5}, {"200": "ok", "x-a": None}],
        [{"200": 1}, {"600": ""}, {"y": 1}],
    ),
    Case(
        "patternProperties beside additional ones",
        {
            **_object(id=_integer()),
            "patternProperties": {"^x": _integer(), "y$": {"minimum": 3}},
            "additionalProperties": _string(),
        },
        [{"id": 1, "xa": 2, "xy": 3, "other": "a"}, {"y": 3}, {"y": "a"}],
        [{"xy": 2}, {"other": 1}, {"id": ""}],
    ),
    Case(
        "patternProperties with names",
        {
            "type": "object",
            "patternProperties": {"^x": _integer()},
            "additionalProperties": _string(),
            "propertyNames": {"maxLength": 2},
        },
        [{"xa": 1, "b": ""}],
        [{"xab": 1}, {"xa": ""}, {"abc": ""}],
    ),
    Case(
        "patternProperties of two closed schemas",
        {
            "allOf": [
                {
                    "type": "object",
                    "patternProperties": {pattern: own},
                    "additionalProperties": False,
                }
                for pattern, own in (("^a", _integer()), ("b$", {"minimum": 3}))
            ]
        },
        [{}, {"ab": 3}],
        [{"ab": 2}, {"a": 3}, {"b": 3}],
    ),
]

_DENIED = [
    Case("not a type", {"not": {"type": "null"}}, [1, "a", [], {}], [None]),
    Case("not one number", _integer(**{"not": {"const": 5}}), [4, 6, -5, 55], [5]),
    Case("not a whole number", _number(**{"not": _integer()}), [0.5, -1.25], [1, 0, -3]),
    Case("not a multiple", _integer(**{"not": {"multipleOf": 3}}), [1, -2, 10], [0, 3, -6]),
    Case("multiples of seven", _integer(multipleOf=7), [0, 7, -14, 700], [1, 8, -15]),
    Case("quarters", _number(multipleOf=0.25), [0, 0.25, -1.5, 700], [0.3, 0.125]),
    Case("not not", {"not": {"not": _string(pattern="^a")}}, ["ab"], ["b", 1]),
    Case(
        "not two keys",
        {**_object(a={}, b={}), "not": {"required": ["a", "b"]}},
        [{}, {"a": 1}, {"b": 1}],
        [{"a": 1, "b": 1}],
    ),
    Case(
        "not such an object",
        {"not": _object("a", a=_integer())},
        [1, [], {}, {"a": ""}],
        [{"a": 1}],
    ),
    Case("not such a list", {"not": {"const": [1]}}, [[], [2], [1, 1], 1, {}], [[1]]),
    Case(
        "not one of them",
        _array(items=_string(), **{"not": {"contains": {"const": "x"}}}),
        [[], ["a"]],
        [["x"], ["a", "x"]],
    ),
    Case(
        "condition on a tag",
        {
            **_object("kind", kind={"enum": ["a", "b"]}, x=_integer(), y=_string()),
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["x"]},
            "else": {"required": ["y"]},
        },
        [{"kind": "a", "x": 1}, {"kind": "b", "y": ""}, {"kind": "b", "x": 1, "y": ""}],
        [{"kind": "a", "y": ""}, {"kind": "b", "x": 1}],
    ),
    Case(
        "eight conditions",
        {
            **_object("k", k={"enum": list("abcdefgh")}, v={"type": ["integer", "string"]}),
            "allOf": [
                {
                    "if": {"properties": {"k": {"const": letter}}},
                    "then": {"properties": {"v": {"const": index}}},
                }
                for index, letter in enumerate("abcdefgh")
            ],
        },
        [{"k": "a", "v": 0}, {"k": "h", "v": 7}, {"k": "c"}],
        [{"k": "a", "v": 1}, {"k": "h", "v": 0}],
    ),
    Case("condition without consequence", {"if": {"type": "null"}, "type": "integer"}, [1], [None]),
    Case("oneOf that overlap", {"oneOf": [_integer(), _number()]}, [0.5], [1]),
    Case(
        "oneOf of multiples",
        {"oneOf": [_integer(multipleOf=3), _integer(multipleOf=5)]},
        [3, 5, 9, -10],
        [15, 1, 0],
    ),
    Case(
        "oneOf of required keys",
        {**_object(a={}, b={}), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}],
        [{}, {"a": 1, "b": 1}],
    ),
    Case(
        "oneOf within oneOf",
        {"oneOf": [{"enum": [True, 1]}, {"oneOf": [{"type": "boolean"}, {"const": True}]}]},
        [True, 1, False],
        ["a"],
    ),
    Case(
        "oneOf of formats",
        {"oneOf": [_string(format="ipv4"), _string(format="ipv6")]},
        ["1.2.3.4", "::1"],
        ["a"],
    ),
    Case(
        "contains", _array(items=_integer(), contains={"minimum": 5}), [[5], [1, 5, 2]], [[], [1]]
    ),
    Case(
        "contains so many",
        _array(contains=_integer(), minContains=1, maxContains=2, maxItems=3),
        [[1], ["a", 1, 2]],
        [[], [1, 2, 3], ["a"], [1, "a", "b", "c"]],
    ),
    Case(
        "contains in a tuple",
        _array(prefixItems=[_string()], items=_integer(), contains={"const": 2}),
        [["a", 2], ["a", 1, 2]],
        [["a"], [2], ["a", 1]],
    ),
    Case(
        "unique values",
        _array(items={"enum": ["a", "b", None]}, uniqueItems=True, minItems=1),
        [["a"], ["b", "a"], [None, "b", "a"]],
        [[], ["a", "a"], ["c"]],
    ),
    Case(
        "unique values in order",
        _array(items=_integer(minimum=1, maximum=9), uniqueItems=True, minItems=2, maxItems=3),
        [[1, 2], [1, 5, 9]],
        [[1], [1, 1], [1, 2, 3, 4], [0, 1]],
        [[2, 1]],
    ),
]

_APIS = [
    Case(
        "properties without type",
        {"properties": {"a": _integer()}, "required": ["a"]},
        [{"a": 1}],
        [{}],
        [False, "a", []],
    ),
    Case("int32", _integer(format="int32"), [2**31 - 1, -(2**31)], [], [2**31]),
    Case("uint8", _integer(format="uint8"), [0, 255], [], [256, -1]),
    Case("float", _number(format="float"), [19.99, 0, -1.5], ["1"], [1e-30]),
    Case(
        "http address",
        _string(format="uri", minLength=1, maxLength=2083),
        ["https://a.org/b?c=d#e"],
        [""],
    ),
    Case("e-mail of 254", _string(format="email", maxLength=254), ["a@b.c"], ["a"]),
    Case("a format for readers", _string(format="path"), ["/a/b", ""], [1]),
    Case(
        "tag with a default",
        {
            "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A"}},
            "$defs": {
                name: _object("x", kind={"const": name.lower(), "default": ""}, x=_integer())
                for name in "AB"
            },
            "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        },
        [{"kind": "a", "x": 1}, {"kind": "b", "x": 1}],
        [{"x": 1}, {"kind": "c", "x": 1}],
    ),
    Case(
        "tag only in the mapping",
        {
            "discriminator": {"propertyName": "t", "mapping": {"cat": "#/$defs/C", "dog": "D"}},
            "$defs": {name: _object("t", t=_string(), **{name: _integer()}) for name in "CD"},
            "anyOf": [{"$ref": "#/$defs/C"}, {"$ref": "#/$defs/D"}],
        },
        [{"t": "cat", "C": 1}, {"t": "dog"}],
        [{}],
        [{"t": "cow"}, {"t": "dog", "C": 1}],
    ),
    Case(
        "names of documents",
        {
            "$id": "https://a.org/root",
            "$defs": {
                "n": {"$id": "other", "$defs": {"m": {"$anchor": "x", **_integer()}}, **_string()}
            },
            "anyOf": [
                {"$ref": "other"},
                {"$ref": "https://a.org/other#/$defs/m"},
                {"type": "array", "items": {"$ref": "other#x"}},
            ],
        },
        ["a", 1, [1]],
        [None, ["a"]],
    ),
]

CASES = [
    *_TYPES,
    *_NUMBERS,
    *_STRINGS,
    *_ARRAYS,
    *_OBJECTS,
    *_COMBINED,
    *_REFERENCES,
    *_LANGUAGES,
    *_DENIED,
    *_APIS,
]
