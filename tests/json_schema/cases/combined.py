"""Combinations of schemas, and references."""

from __future__ import annotations

from .case import TREE, Case, array, integer, number, object_of, string

COMBINED = [
    Case("anyOf", {"anyOf": [integer(), string()]}, [1, "a"], [None, 1.5, []]),
    Case(
        "anyOf with siblings",
        {"type": "integer", "anyOf": [{"maximum": 0}, {"minimum": 9}]},
        [0, 9],
        [5],
    ),
    Case(
        "anyOf of required",
        {**object_of(a={}, b={}), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}, {"a": 1, "b": 1}],
        [{}],
    ),
    Case(
        "oneOf of types",
        {"oneOf": [integer(), string(), {"type": "null"}]},
        [1, "a", None],
        [[], 1.5],
    ),
    Case(
        "oneOf with discriminator",
        {
            "oneOf": [
                object_of("kind", "size", kind={"const": "box"}, size=integer()),
                object_of("kind", kind={"enum": ["ball", "cone"]}, radius=number()),
            ]
        },
        [{"kind": "box", "size": 1}, {"kind": "ball"}, {"kind": "cone", "radius": 1.5}],
        [{"kind": "box"}, {"kind": "x"}, {}],
    ),
    Case(
        "oneOf of different keys",
        {"oneOf": [object_of("a", a={}), object_of("b", b={})]},
        [{"a": 1}, {"b": 1}],
        [{}, {"a": 1, "b": 1}],
    ),
    Case("oneOf of ranges", {"oneOf": [integer(maximum=3), integer(minimum=4)]}, [3, 4], ["a"]),
    Case(
        "oneOf of ranges that touch",
        {"oneOf": [number(exclusiveMaximum=3), number(minimum=3)]},
        [2.5, 3],
        ["a"],
    ),
    Case(
        "oneOf with a forbidden key",
        {"oneOf": [object_of("b", a=False, b={}), object_of("a", "b", a={}, b={})]},
        [{"b": 1}, {"a": 1, "b": 1}],
        [{}, {"a": 1}],
    ),
    Case(
        "oneOf of lengths",
        {"oneOf": [string(maxLength=1), string(minLength=2)]},
        ["a", "ab"],
        [1],
    ),
    Case(
        "oneOf of tuples",
        {"oneOf": [array(prefixItems=[{"const": k}], minItems=1) for k in ("a", "b")]},
        [["a"], ["b", 1]],
        [[], ["c"]],
    ),
    Case("oneOf of enums", {"oneOf": [{"enum": [1, 2]}, {"enum": [3]}]}, [1, 2, 3], [4]),
    Case(
        "allOf of objects",
        {"allOf": [object_of("a", a=integer()), object_of("b", b=string())]},
        [{"a": 1, "b": "x"}],
        [{"a": 1}, {"b": "x"}, {"a": "x", "b": "x"}],
    ),
    Case(
        "allOf about the same property",
        {"allOf": [object_of("a", a=integer(minimum=3)), object_of(a=integer(maximum=5))]},
        [{"a": 3}, {"a": 5}],
        [{"a": 2}, {"a": 6}, {}],
    ),
    Case(
        "allOf of numbers",
        {"allOf": [integer(minimum=2), number(maximum=4)]},
        [2, 4],
        [1, 5, 2.5],
    ),
    Case(
        "allOf of strings",
        {"allOf": [string(minLength=2), string(maxLength=3)]},
        ["ab"],
        ["a", "abcd"],
    ),
    Case(
        "allOf of pattern and length",
        {"allOf": [string(pattern="^a*$"), {"minLength": 2}]},
        ["aa"],
        ["a"],
    ),
    Case(
        "allOf of arrays",
        {"allOf": [array(minItems=1), array(items=integer())]},
        [[1]],
        [[], ["a"]],
    ),
    Case("allOf of enums", {"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, [2], [1, 3]),
    Case(
        "allOf of multiples",
        {"allOf": [integer(multipleOf=5), {"multipleOf": 2}]},
        [10, -20],
        [5, 2],
    ),
    Case(
        "allOf closes",
        {
            "allOf": [
                {"type": "object", "additionalProperties": integer()},
                {"type": "object", "additionalProperties": {"minimum": 3}},
            ]
        },
        [{}, {"a": 3}],
        [{"a": 2}, {"a": "x"}],
    ),
    Case("not anything but", {"anyOf": [{"not": {}}, integer()]}, [1], ["a"]),
    Case("anyOf with false", {"anyOf": [False, integer()]}, [1], ["a"]),
    Case("allOf with true", {"allOf": [True, integer()]}, [1], ["a"]),
]

REFERENCES = [
    Case(
        "tree",
        TREE,
        [{"label": "a"}, {"label": "a", "children": [{"label": "b", "children": []}]}],
        [{}, {"label": 1}, {"label": "a", "children": [{}]}],
    ),
    Case(
        "root refers to itself",
        {**object_of("v", v=integer(), next={"$ref": "#"})},
        [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}],
        [{}, {"v": 1, "next": {}}],
    ),
    Case(
        "list by null",
        {
            "$defs": {
                "cell": {
                    "anyOf": [
                        {"type": "null"},
                        object_of("v", "n", v={}, n={"$ref": "#/$defs/cell"}),
                    ]
                }
            },
            "$ref": "#/$defs/cell",
        },
        [None, {"v": 1, "n": None}, {"v": 1, "n": {"v": 2, "n": None}}],
        [1, {"v": 1}],
    ),
    Case(
        "definitions",
        {"definitions": {"a/b~c": integer()}, "$ref": "#/definitions/a~1b~0c"},
        [1],
        ["a"],
    ),
    Case(
        "reference with siblings",
        {"$defs": {"n": integer()}, "$ref": "#/$defs/n", "minimum": 3},
        [3],
        [2],
    ),
    Case("index in a reference", {"allOf": [integer()], "$ref": "#/allOf/0"}, [1], ["a"]),
    Case(
        "anchor in a list",
        {
            "anyOf": [{"enum": [{"$anchor": "n"}]}, {"$anchor": "n", **integer()}],
            "items": {"$ref": "#n"},
        },
        [1, {"$anchor": "n"}],
        ["a", []],
    ),
    Case("anchor", {"$defs": {"n": {"$anchor": "num", **integer()}}, "$ref": "#num"}, [1], ["a"]),
    Case(
        "own name",
        {
            "$id": "https://example.org/s",
            "$defs": {"n": integer()},
            "$ref": "https://example.org/s#/$defs/n",
        },
        [1],
        ["a"],
    ),
    Case(
        "dynamic reference",
        {"$dynamicAnchor": "t", **array(items={"$dynamicRef": "#t"})},
        [[], [[]]],
        [[1]],
    ),
    Case(
        "reference into a property",
        object_of("a", a=integer(), b={"$ref": "#/properties/a"}),
        [{"a": 1, "b": 2}],
        [{"a": 1, "b": ""}],
    ),
    Case(
        "impossible branch of a recursion",
        {
            "anyOf": [integer(), object_of("x", x={"$ref": "#/$defs/never"})],
            "$defs": {"never": object_of("x", x={"$ref": "#/$defs/never"})},
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
