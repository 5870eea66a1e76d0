"""Schemas in the form in which APIs send them."""

from __future__ import annotations

from .case import Case, integer, number, object_of, string

APIS = [
    Case(
        "properties without type",
        {"properties": {"a": integer()}, "required": ["a"]},
        [{"a": 1}],
        [{}],
        [False, "a", []],
    ),
    Case("int32", integer(format="int32"), [2**31 - 1, -(2**31)], [], [2**31]),
    Case("uint8", integer(format="uint8"), [0, 255], [], [256, -1]),
    Case("float", number(format="float"), [19.99, 0, -1.5], ["1"], [1e-30]),
    Case(
        "http address",
        string(format="uri", minLength=1, maxLength=2083),
        ["https://a.org/b?c=d#e"],
        [""],
    ),
    Case("e-mail of 254", string(format="email", maxLength=254), ["a@b.c"], ["a"]),
    Case("a format for readers", string(format="path"), ["/a/b", ""], [1]),
    Case(
        "tag with a default",
        {
            "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A"}},
            "$defs": {
                name: object_of("x", kind={"const": name.lower(), "default": ""}, x=integer())
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
            "$defs": {name: object_of("t", t=string(), **{name: integer()}) for name in "CD"},
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
                "n": {"$id": "other", "$defs": {"m": {"$anchor": "x", **integer()}}, **string()}
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
