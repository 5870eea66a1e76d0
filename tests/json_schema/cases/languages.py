"""Combined constraints on strings, and negations."""

from __future__ import annotations

from .case import Case, array, integer, number, object_of, string

LANGUAGES = [
    Case("look-ahead", string(pattern="^(?=.*[0-9])[a-z0-9]{2,4}$"), ["a1", "12"], ["ab", "1"]),
    Case("negative look-ahead", string(pattern=r"^(?!\.)[a-z.]+$"), ["a."], [".a", ""]),
    Case("look-behind", string(pattern="(?<!a)b$"), ["b", "cb"], ["ab", "ba"]),
    Case("word boundary", string(pattern=r"\bok\b"), ["ok", "is ok!"], ["okay", "look"]),
    Case("anchor in the middle", string(pattern="(^|-)a($|-)"), ["a", "b-a-c"], ["ba", "ab"]),
    Case(
        "two patterns",
        {"allOf": [string(pattern="^https://"), {"pattern": r"\.git$"}]},
        ["https://a.git"],
        ["https://a", "a.git"],
    ),
    Case(
        "pattern and format",
        string(format="date", pattern="-0[12]-"),
        ["2024-02-29", "1999-01-31"],
        ["2024-03-01", "x-01-x"],
    ),
    Case(
        "loop with length",
        string(pattern="^[a-z]+(-[a-z]+)*$", minLength=3, maxLength=5),
        ["a-b", "abcde"],
        ["a", "a--b", "abc-de"],
    ),
    Case("search with length", string(pattern="[0-9]", maxLength=2), ["1", "a1"], ["", "ab1"]),
    Case("not a pattern", string(**{"not": {"pattern": "^a"}}), ["", "ba"], ["a", "ab"]),
    Case("not an enum", string(**{"not": {"enum": ["a", "b"]}}), ["", "ab"], ["a", "b"]),
    Case(
        "patternProperties that exclude one another",
        {
            "type": "object",
            "patternProperties": {"^x-": {}, "^[1-5][0-9]{2}$": string()},
            "additionalProperties": False,
        },
        [{"x-rate": 5}, {"200": "ok", "x-a": None}],
        [{"200": 1}, {"600": ""}, {"y": 1}],
    ),
    Case(
        "patternProperties beside additional ones",
        {
            **object_of(id=integer()),
            "patternProperties": {"^x": integer(), "y$": {"minimum": 3}},
            "additionalProperties": string(),
        },
        [{"id": 1, "xa": 2, "xy": 3, "other": "a"}, {"y": 3}, {"y": "a"}],
        [{"xy": 2}, {"other": 1}, {"id": ""}],
    ),
    Case(
        "patternProperties with names",
        {
            "type": "object",
            "patternProperties": {"^x": integer()},
            "additionalProperties": string(),
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
                for pattern, own in (("^a", integer()), ("b$", {"minimum": 3}))
            ]
        },
        [{}, {"ab": 3}],
        [{"ab": 2}, {"a": 3}, {"b": 3}],
    ),
]

DENIED = [
    Case("not a type", {"not": {"type": "null"}}, [1, "a", [], {}], [None]),
    Case("not one number", integer(**{"not": {"const": 5}}), [4, 6, -5, 55], [5]),
    Case("not a whole number", number(**{"not": integer()}), [0.5, -1.25], [1, 0, -3]),
    Case("not a multiple", integer(**{"not": {"multipleOf": 3}}), [1, -2, 10], [0, 3, -6]),
    Case("multiples of seven", integer(multipleOf=7), [0, 7, -14, 700], [1, 8, -15]),
    Case("quarters", number(multipleOf=0.25), [0, 0.25, -1.5, 700], [0.3, 0.125]),
    Case("not not", {"not": {"not": string(pattern="^a")}}, ["ab"], ["b", 1]),
    Case(
        "not two keys",
        {**object_of(a={}, b={}), "not": {"required": ["a", "b"]}},
        [{}, {"a": 1}, {"b": 1}],
        [{"a": 1, "b": 1}],
    ),
    Case(
        "not such an object",
        {"not": object_of("a", a=integer())},
        [1, [], {}, {"a": ""}],
        [{"a": 1}],
    ),
    Case("not such a list", {"not": {"const": [1]}}, [[], [2], [1, 1], 1, {}], [[1]]),
    Case(
        "not one of them",
        array(items=string(), **{"not": {"contains": {"const": "x"}}}),
        [[], ["a"]],
        [["x"], ["a", "x"]],
    ),
    Case(
        "condition on a tag",
        {
            **object_of("kind", kind={"enum": ["a", "b"]}, x=integer(), y=string()),
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
            **object_of("k", k={"enum": list("abcdefgh")}, v={"type": ["integer", "string"]}),
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
    Case("oneOf that overlap", {"oneOf": [integer(), number()]}, [0.5], [1]),
    Case(
        "oneOf of multiples",
        {"oneOf": [integer(multipleOf=3), integer(multipleOf=5)]},
        [3, 5, 9, -10],
        [15, 1, 0],
    ),
    Case(
        "oneOf of required keys",
        {**object_of(a={}, b={}), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
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
        {"oneOf": [string(format="ipv4"), string(format="ipv6")]},
        ["1.2.3.4", "::1"],
        ["a"],
    ),
    Case("contains", array(items=integer(), contains={"minimum": 5}), [[5], [1, 5, 2]], [[], [1]]),
    Case(
        "contains so many",
        array(contains=integer(), minContains=1, maxContains=2, maxItems=3),
        [[1], ["a", 1, 2]],
        [[], [1, 2, 3], ["a"], [1, "a", "b", "c"]],
    ),
    Case(
        "contains in a tuple",
        array(prefixItems=[string()], items=integer(), contains={"const": 2}),
        [["a", 2], ["a", 1, 2]],
        [["a"], [2], ["a", 1]],
    ),
    Case(
        "unique values",
        array(items={"enum": ["a", "b", None]}, uniqueItems=True, minItems=1),
        [["a"], ["b", "a"], [None, "b", "a"]],
        [[], ["a", "a"], ["c"]],
    ),
    Case(
        "unique values in order",
        array(items=integer(minimum=1, maximum=9), uniqueItems=True, minItems=2, maxItems=3),
        [[1, 2], [1, 5, 9]],
        [[1], [1, 1], [1, 2, 3, 4], [0, 1]],
        [[2, 1]],
    ),
]
