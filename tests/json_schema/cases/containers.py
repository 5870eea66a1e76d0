"""Arrays and objects."""

from __future__ import annotations

from .case import Case, array, integer, object_of, string

ARRAYS = [
    Case("items", array(items=integer()), [[], [1], [1, 2]], [["a"], [1, None]]),
    Case("minItems", array(items=integer(), minItems=2), [[1, 2], [1, 2, 3]], [[], [1]]),
    Case("maxItems", array(items=integer(), maxItems=2), [[], [1], [1, 2]], [[1, 2, 3]]),
    Case("no items", array(maxItems=0), [[]], [[1]]),
    Case("exactly one", array(minItems=1, maxItems=1), [[1], ["a"]], [[], [1, 2]]),
    Case("items false", array(items=False), [[]], [[1]]),
    Case(
        "prefixItems",
        array(prefixItems=[integer(), string()]),
        [[], [1], [1, "a"], [1, "a", None]],
        [["a"], [1, 1]],
    ),
    Case(
        "closed tuple",
        array(prefixItems=[integer(), string()], items=False, minItems=2),
        [[1, "a"]],
        [[1], [], [1, "a", 1]],
    ),
    Case(
        "tuple with other items",
        array(prefixItems=[integer()], items=string(), minItems=1, maxItems=3),
        [[1], [1, "a"], [1, "a", "b"]],
        [[], ["a"], [1, 1], [1, "a", "b", "c"]],
    ),
    Case(
        "tuple as in draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **array(items=[integer()], additionalItems=string()),
        },
        [[], [1], [1, "a"]],
        [["a"], [1, 1]],
    ),
    Case(
        "unique single item",
        array(items=integer(), maxItems=1, uniqueItems=True),
        [[], [1]],
        [[1, 2]],
    ),
    Case("items may be anything", array(minItems=2), [[1, {}], [[], None, "a"]], [[], [1]]),
    Case("contains nothing", array(contains=integer(), minContains=0), [[], ["a"]], [{}]),
]

OBJECTS = [
    Case("required", object_of("a", a=integer()), [{"a": 1}], [{}, {"a": "x"}], [{"a": 1, "b": 2}]),
    Case(
        "optional",
        object_of(a=integer(), b=string(), c={}),
        [{}, {"a": 1}, {"b": ""}, {"c": None}, {"a": 1, "c": []}, {"a": 1, "b": "", "c": 2}],
        [{"a": "x"}, {"b": 1}],
        [{"b": "", "a": 1}],
    ),
    Case(
        "optional around required",
        object_of("c", a=integer(), b=integer(), c=integer(), d=integer()),
        [{"c": 1}, {"a": 1, "c": 1}, {"b": 1, "c": 1, "d": 1}, {"a": 1, "b": 1, "c": 1, "d": 1}],
        [{}, {"a": 1}, {"d": 1}],
    ),
    Case(
        "closed",
        {**object_of(a=integer()), "additionalProperties": False},
        [{}, {"a": 1}],
        [{"b": 1}, {"a": 1, "b": 1}],
    ),
    Case(
        "additionalProperties",
        {**object_of(a=integer(), ab=integer()), "additionalProperties": string()},
        [{}, {"a": 1}, {"b": "x"}, {"ab": 1, "abc": "x", "": "y"}, {"a": 1, 'é"\n': "x"}],
        [{"a": "x"}, {"b": 1}, {"ab": "x"}, {"abc": 1}],
    ),
    Case(
        "additionalProperties true",
        {**object_of("a", a=integer()), "additionalProperties": True},
        [{"a": 1}, {"a": 1, "b": [None]}],
        [{}, {"a": "x"}],
    ),
    Case(
        "dictionary",
        {"type": "object", "additionalProperties": integer()},
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
        {"type": "object", "required": ["a"], "additionalProperties": integer()},
        [{"a": 1}, {"a": 1, "b": 2}],
        [{}, {"a": "x"}, {"b": 1}],
    ),
    Case("forbidden property", object_of(a=False, b=integer()), [{}, {"b": 1}], [{"a": 1}]),
    Case(
        "minProperties",
        {**object_of(a={}, b={}, c={}), "minProperties": 2},
        [{"a": 1, "c": 1}],
        [{"a": 1}],
    ),
    Case(
        "one property at least",
        {**object_of(a={}, b={}), "minProperties": 1},
        [{"a": 1}, {"b": 1}],
        [{}],
    ),
    Case(
        "maxProperties",
        {**object_of("b", a={}, b={}, c={}), "maxProperties": 2},
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
        {"type": "object", "patternProperties": {"^s_": string(), "^i_": integer()}},
        [{}, {"s_a": "x"}, {"i_b": 1, "s_": "y"}],
        [{"s_a": 1}, {"i_b": "x"}],
        [{"other": 1}],
    ),
    Case(
        "patternProperties that overlap",
        {"type": "object", "patternProperties": {"a": integer(), "b": {"minimum": 3}}},
        [{}, {"ab": 3}, {"b": 4, "a": 5}, {"b": "x"}],
        [{"ab": 2}, {"a": "x"}],
    ),
    Case(
        "patternProperties of two schemas",
        {
            "allOf": [
                {
                    "type": "object",
                    "patternProperties": {"^x": integer()},
                    "additionalProperties": {"maximum": 9},
                },
                {"patternProperties": {"^x": {"minimum": 3}, "^y": string()}},
            ]
        },
        [{}, {"x": 3, "y": "a"}],
        [{"x": 2}, {"x": "a"}, {"y": 1}, {"z": 10}],
        [{"z": 3}],
    ),
    Case(
        "patternProperties beside properties",
        {
            **object_of("id", id=integer()),
            "patternProperties": {"^x-": string()},
            "additionalProperties": False,
        },
        [{"id": 1}, {"id": 1, "x-a": "b"}],
        [{"x-a": "b"}, {"id": 1, "y": 1}, {"id": 1, "x-a": 1}],
    ),
    Case(
        "patternProperties about a property",
        {**object_of("x-a", **{"x-a": {"maxLength": 2}}), "patternProperties": {"^x": string()}},
        [{"x-a": "ab"}],
        [{"x-a": 1}, {"x-a": "abc"}],
    ),
    Case(
        "propertyNames",
        {"type": "object", "propertyNames": string(pattern="^[a-z]+$")},
        [{}, {"a": 1, "bc": 2}],
        [{"A": 1}, {"": 1}],
    ),
    Case(
        "propertyNames by length",
        {"type": "object", "propertyNames": {"maxLength": 3}, "additionalProperties": integer()},
        [{}, {"abc": 1}],
        [{"abcd": 1}, {"abc": "x"}],
    ),
    Case(
        "propertyNames from a list",
        {
            "type": "object",
            "propertyNames": {"enum": ["a", "b"]},
            "additionalProperties": integer(),
        },
        [{}, {"a": 1}, {"a": 1, "b": 2}],
        [{"c": 1}, {"a": "x"}],
    ),
    Case(
        "propertyNames excludes a property",
        {**object_of(ab={}, c={}), "propertyNames": {"maxLength": 1}},
        [{}, {"c": 1}],
        [{"ab": 1}],
    ),
    Case(
        "dependentRequired",
        {**object_of(card={}, address={}), "dependentRequired": {"card": ["address"]}},
        [{}, {"address": 1}, {"card": 1, "address": 2}],
        [{"card": 1}],
    ),
    Case(
        "dependentSchemas",
        {
            **object_of(kind={}, size=integer()),
            "dependentSchemas": {"kind": {"properties": {"size": {"minimum": 5}}}},
        },
        [{"size": 1}, {"kind": 1, "size": 5}],
        [{"kind": 1, "size": 4}],
    ),
    Case(
        "dependencies as in draft 7",
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **object_of(a={}, b={}),
            "dependencies": {"a": ["b"]},
        },
        [{}, {"b": 1}, {"a": 1, "b": 1}],
        [{"a": 1}],
    ),
    Case(
        "unevaluatedProperties",
        {
            "allOf": [object_of("a", a=integer())],
            **object_of(b=string()),
            "unevaluatedProperties": False,
        },
        [{"a": 1}, {"b": "", "a": 1}],
        [{"a": 1, "c": 1}, {}],
    ),
    Case("key with quotes", object_of('a"\\é\n', **{'a"\\é\n': integer()}), [{'a"\\é\n': 1}], [{}]),
]
