"""Grammars and JSON schemas made to hang, crash or fill the memory, each with its trick for a name.

They are made when asked for: some are large, and some no pickle could carry.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hivellm_lite.gbnf.limits import MAX_BYTES

__all__ = ["GRAMMARS", "SCHEMAS"]


def chain(n: int, body: str, last: str) -> str:
    """Rules r0 to rn; ``body`` with ``{next}`` for the following one's name."""
    rules = [f"r{i} ::= " + body.replace("{next}", f"r{i + 1}") for i in range(n)]
    return "\n".join(["root ::= r0", *rules, f"r{n} ::= {last}"])


def words(n: int, length: int) -> str:
    letters = Random(5)
    made = ("".join(letters.choices("abcd", k=length)) for _ in range(n))
    return "root ::= " + " | ".join(f'"{word}"' for word in made)


GRAMMARS: dict[str, Callable[[], str | bytes]] = {
    # left recursion, seen and hidden
    "recursion hidden behind white space": lambda: (
        'root ::= a\na ::= ws a "x" | "y"\nws ::= [ \\t]*'
    ),
    "recursion hidden behind ten rules": lambda: (
        "root ::= " + " ".join(f"n{i}" for i in range(10)) + ' root "x" | "y"\n'
        + "\n".join(f'n{i} ::= "{i}"?' for i in range(10))
    ),
    "mutually recursive nullable rules": lambda: (
        'root ::= a b c\na ::= b c a | b? | "x"\nb ::= c a b | c? | "y"\n'
        'c ::= a b c | a? | "z"'
    ),
    "forty rules that all begin with one another": lambda: "\n".join(
        f"{'root' if i == 0 else f'r{i}'} ::= "
        + " | ".join(f'{"root" if j == 0 else f"r{j}"} "{j % 10}"' for j in range(40))
        + f' | "{i % 10}"'
        for i in range(40)
    ),
    "a circle of 2,000 rules": lambda: chain(2_000, "{next}", 'r0 "x" | "y"'),
    "a nullable circle of 1,000 rules": lambda: chain(1_000, '"a"? {next} "b"?', "r0?"),
    "only itself": lambda: "root ::= root",
    "itself three times": lambda: 'root ::= root root root | "a" | ""',
    # nesting
    "20,000 parentheses": lambda: "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
    "20,000 parentheses that nothing closes": lambda: "root ::= " + "(" * 20_000,
    "64 parentheses with repetitions": lambda: "root ::= " + "(" * 32 + '"a"' + ")*" * 32,
    "64 parentheses with alternatives": lambda: (
        "root ::= " + '("a"? | "b" ' * 60 + '"c"' + ")?" * 4 + ")" * 56
    ),
    # counts
    "repetitions of repetitions of repetitions": lambda: 'root ::= "a"{1000}{1000}{1000}',
    "optional repetitions of repetitions": lambda: 'root ::= (("a"{0,9} "b"?){0,9} "c"?){0,9}',
    "a count of a billion": lambda: 'root ::= "a"{1000000000}',
    "a count of a million digits": lambda: 'root ::= "a"{' + "9" * 1_000_000 + "}",
    "the highest count, of everything": lambda: "root ::= .{0,10000}",
    "the highest count of a nullable rule": lambda: 'root ::= a{10000}\na ::= "a"? b?\nb ::= "b"?',
    "counts that end before they begin": lambda: 'root ::= "a"{9,3}',
    "white space of 500 and 500": lambda: 'root ::= ws ws ws "x" ws\nws ::= [ \\t\\n]{0,500}',
    # size
    "a deep chain of rules": lambda: chain(100_000, "{next}", '"a"'),
    "the deepest chain of rules that is read": lambda: chain(9_997, "{next}", '"a"'),
    "a deep chain of optional rules": lambda: chain(2_000, '{next} | "a"', '"b"?'),
    "a deep chain of rules with ends": lambda: chain(9_990, '"(" {next} ")"', '"a"'),
    "rules that double": lambda: chain(40, "{next} {next}", '"lol"'),
    "rules that double and may be empty": lambda: chain(40, "{next} {next}", '"lol"?'),
    "rules that double, 1,000 times": lambda: chain(1_000, "{next} {next}", '"a" | "b"'),
    "rules that choose twice": lambda: chain(40, '{next} "a" | {next} "b"', '"c"'),
    "rules that branch to themselves": lambda: chain(40, '{next} "a" {next} | {next} {next}', "r0"),
    "3,000 alternatives": lambda: words(3_000, 12),
    "alternatives with one long beginning": lambda: (
        "root ::= " + " | ".join(f'"{"a" * 500}{i}"' for i in range(900))
    ),
    "as many characters as are read": lambda: 'root ::= "' + "a" * (MAX_BYTES - 20) + '"',
    "a class of 20,000 ranges": lambda: (
        "root ::= [" + "".join(chr(c) for c in range(0x4E00, 0x4E00 + 40_000, 2)) + "]*"
    ),
    "many classes of all characters": lambda: "root ::= " + "[^\\x00] " * 2_000,
    "one rule name of a million letters": lambda: "a" * 1_000_000 + ' ::= "a"',
    "a million alternatives of nothing": lambda: "root ::= " + "|" * 1_000_000,
    "a million stars": lambda: 'root ::= "a"' + "*" * 1_000_000,
    "a million line ends": lambda: "\n" * 1_000_000 + 'root ::= "a"',
    # ambiguity
    "exponential ambiguity": lambda: 'root ::= root root | root "b" root root | "a" | "b"',
    "exponential ambiguity of the right kind": lambda: 'root ::= s\ns ::= "a" s | "a" s "b" | ""',
    "everything everywhere": lambda: "root ::= (.* .*)* (.+ | .)* root? .*",
    "stars of stars": lambda: 'root ::= (((("a"* "b"*)* "c"*)* "a"*)* "a"?)* "d"',
    "palindromes": lambda: 'root ::= "a" root "a" | "b" root "b" | "a"? | "b"?',
    "forty ways to say a": lambda: "root ::= " + " ".join(['("a" | "aa" | "")'] * 40) + ' "x"',
    # transitions: few states, of which any may follow any other
    "30,000 optional letters": lambda: (
        "root ::= " + " ".join(f'"{chr(97 + i % 26)}"?' for i in range(30_000))
    ),
    "700 optional letters": lambda: (
        "root ::= " + " ".join(f'"{chr(97 + i % 26)}"?' for i in range(700))
    ),
    "6,000 optional classes": lambda: "root ::= " + " ".join(["[a-z]?"] * 6_000),
    "6,000 stars in a row": lambda: (
        "root ::= " + " ".join(f'"{chr(97 + i % 26)}"*' for i in range(6_000))
    ),
    "3,000 optional rules": lambda: "root ::= " + " ".join(f"r{i}?" for i in range(3_000)) + "\n"
    + "\n".join(f'r{i} ::= "{i}" root' for i in range(3_000)),
    "2,000 optional words of a few letters": lambda: (
        "root ::= " + " ".join(['("a" | "aa" | "b"?)'] * 2_000)
    ),
    "a letter long before the end": lambda: 'root ::= [ab]* "a" ' + "[ab] " * 200,
    "1,000 classes without one character": lambda: (
        "root ::= " + " ".join(f"[^{chr(0x4E00 + 7 * i)}]?" for i in range(1_000))
    ),
    "2,000 alternatives of negated classes": lambda: (
        "root ::= (" + " | ".join(f'[^{chr(0x4E00 + i)}] "x"' for i in range(2_000)) + ")*"
    ),
    "5,000 classes that divide the bytes": lambda: "root ::= " + " | ".join(
        f"[{chr(0x30 + i % 10)}-{chr(0x41 + i % 26)}{chr(0x100 + 3 * i)}]" for i in range(5_000)
    ),
    "900 alternatives of a beginning of classes": lambda: (
        "root ::= " + " | ".join("[ab]" * 40 + f'"{i}"' for i in range(900))
    ),
    "counts of counts of optional parts": lambda: (
        'root ::= (((("a"{0,60} "b"?){0,60} "c"?){0,60} "d"?){0,60})'
    ),
    "fifty counts of ten thousand": lambda: "root ::= " + " ".join(['"a"{0,9999}'] * 50),
    "9,000 rules of one caller": lambda: "root ::= " + " | ".join(f"r{i}" for i in range(9_000))
    + "\n" + "\n".join(f'r{i} ::= "k{i}"' for i in range(9_000)),
    "300 operators": lambda: 'root ::= "a" | ' + " | ".join(
        f'root "+{i}" root' for i in range(300)
    ),
    "3,000 long literals": lambda: "root ::= " + " | ".join(
        f'"{i}{"ab" * 150}"' for i in range(3_000)
    ),
    # encoding
    "nothing": lambda: "",
    "a byte order mark": lambda: b"\xef\xbb\xbf",
    "two byte order marks": lambda: b"\xef\xbb\xbf\xef\xbb\xbfroot ::= [a]",
    "NUL bytes": lambda: b'\x00root\x00 ::= \x00"\x00a"\x00',
    "a NUL in a literal": lambda: b'root ::= "a\x00b" [\x00-\x1f]*',
    "invalid UTF-8": lambda: b'root ::= "\xff\xfe\xc3"',
    "overlong UTF-8": lambda: b'root ::= "\xc0\xaf\xe0\x80\xaf"',
    "UTF-16": lambda: 'root ::= "a"'.encode("utf-16"),
    "a lone surrogate": lambda: 'root ::= "\ud800"',
    "an escaped lone surrogate": lambda: 'root ::= "\\ud800"',
    "surrogates only": lambda: "root ::= [\\ud800-\\udfff]",
    "around the surrogates": lambda: "root ::= [\\ud7ff-\\ue000]* [^\\x00-\\ud7ff\\ue000-\\uffff]",
    "beyond Unicode": lambda: 'root ::= "\\UFFFFFFFF" [\\U00110000]',
    "no texts": lambda: 'root ::= "a" root',
    "no root": lambda: 'start ::= "a"',
    "a rule that is not there": lambda: "root ::= gone*",
}  # fmt: skip


def nested(depth: int, wrap: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


def in_itself() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    return schema


def references(n: int, body: Callable[[dict[str, str]], Any], last: Any) -> dict[str, Any]:
    rules = {f"r{i}": body({"$ref": f"#/$defs/r{i + 1}"}) for i in range(n)}
    return {"$ref": "#/$defs/r0", "$defs": {**rules, f"r{n}": last}}


def pattern(text: str) -> dict[str, Any]:
    return {"type": "string", "pattern": text}


SCHEMAS: dict[str, Callable[[], Any]] = {
    "arrays in arrays, 100,000 deep": lambda: nested(
        100_000, lambda inner: {"type": "array", "items": inner}, {}
    ),
    "arrays in arrays, 60 deep": lambda: nested(
        30, lambda inner: {"type": "array", "items": inner}, {}
    ),
    "alternatives in alternatives": lambda: nested(
        28, lambda inner: {"anyOf": [inner, {"type": "array", "items": inner}]}, {"type": "null"}
    ),
    "text of 100,000 brackets": lambda: "[" * 100_000,
    "text of 100,000 objects": lambda: '{"not":' * 100_000,
    "text of a megabyte": lambda: '{"enum": ["' + "a" * 1_000_000 + '"]}',
    "text that is not UTF-8": lambda: b'{"const": "\xff"}',
    "text with a lone surrogate": lambda: '{"const": "\ud800"}',
    "text with an escaped lone surrogate": lambda: '{"const": "\\ud800"}',
    "text that is empty": lambda: "",
    "text with NaN": lambda: '{"const": NaN}',
    "a schema in itself": in_itself,
    "a reference to itself": lambda: {"$ref": "#"},
    "references in a circle": lambda: references(
        2_000, lambda after: after, {"$ref": "#/$defs/r0"}
    ),
    "references in a row": lambda: references(2_000, lambda after: after, {"type": "null"}),
    "alternatives in a circle": lambda: references(
        200, lambda after: {"anyOf": [after, {"type": "null"}]}, {"$ref": "#/$defs/r0"}
    ),
    "arrays of references that double": lambda: references(
        40, lambda after: {"type": "array", "prefixItems": [after, after]}, {"const": "lol"}
    ),
    "all of a schema twice, forty times": lambda: references(
        40, lambda after: {"allOf": [after, after]}, {"type": "string"}
    ),
    "any of a schema twice, forty times": lambda: references(
        40, lambda after: {"anyOf": [after, after]}, {"type": "string"}
    ),
    "all of thirty choices": lambda: {
        "allOf": [
            {"anyOf": [{"minLength": i, "type": "string"}, {"maxLength": 99 - i, "type": "string"}]}
            for i in range(30)
        ]
    },
    "all of thirty choices of objects": lambda: {
        "allOf": [
            {"anyOf": [{"required": [f"a{i}"]}, {"properties": {f"b{i}": {"type": "null"}}}]}
            for i in range(30)
        ]
    },
    "not, fifty times": lambda: nested(50, lambda inner: {"not": inner}, {"type": "string"}),
    "100,000 values": lambda: {"enum": list(range(100_000))},
    "9,000 values that begin alike": lambda: {"enum": [f"{'a' * 50}{i}" for i in range(9_000)]},
    "a value that is 100,000 deep": lambda: {"const": nested(100_000, lambda inner: [inner], 1)},
    "1,000 properties": lambda: {
        "type": "object",
        "properties": {f"p{i}": {"type": "integer"} for i in range(1_000)},
        "required": [f"p{i}" for i in range(0, 1_000, 2)],
    },
    "1,000 properties that need one another": lambda: {
        "type": "object",
        "properties": {f"p{i}": {"type": "null"} for i in range(1_000)},
        "dependentRequired": {f"p{i}": [f"p{999 - i}"] for i in range(1_000)},
    },
    "12 properties in any order with names of any kind": lambda: {
        "type": "object",
        "required": [f"q{i}" for i in range(12)],
        "patternProperties": {"^[a-z]*$": {"type": "string"}, "x": {"type": "null"}},
        "additionalProperties": {"type": "boolean"},
    },
    "a million properties at least": lambda: {"type": "object", "minProperties": 10**6},
    "bounds of 400 digits": lambda: {"type": "integer", "minimum": 10**399, "maximum": 10**400},
    "bounds of 30 digits": lambda: {"type": "integer", "minimum": -(10**29), "maximum": 10**30 + 7},
    "bounds of floats": lambda: {"type": "number", "minimum": 5e-324, "maximum": 1.7e308},
    "bounds that are infinite": lambda: {"type": "number", "maximum": float("inf")},
    "multiples of a tiny number": lambda: {"type": "number", "multipleOf": 1e-300},
    "multiples of a prime": lambda: {"type": "integer", "multipleOf": 982_451_653},
    "a string of a billion": lambda: {"type": "string", "minLength": 10**9},
    "a string of up to a billion": lambda: {"type": "string", "maxLength": 10**9},
    "an array of a trillion": lambda: {"type": "array", "minItems": 10**12},
    "an array of 9,999 arrays of 9,999": lambda: {
        "type": "array",
        "maxItems": 9_999,
        "items": {"type": "array", "minItems": 9_999, "maxItems": 9_999, "items": {"const": 1}},
    },
    "names that are no texts": lambda: {1: {"type": "null"}, None: 3},
    "a name that is a lone surrogate": lambda: {"properties": {"\ud800": {"type": "null"}}},
    "stars of stars": lambda: pattern("^(((a*)*)*b*)*$"),
    "a catastrophe for backtracking": lambda: pattern("^(a+)+(a|aa)+(a|a)*$"),
    "counts of counts of counts": lambda: pattern("^((a{1,99}){1,99}){1,99}$"),
    "a count of a million": lambda: pattern("^a{1000000}$"),
    "1,000 groups": lambda: pattern("(" * 1_000 + "a" + ")" * 1_000),
    "100,000 groups that nothing closes": lambda: pattern("(" * 100_000),
    "3,000 alternatives": lambda: pattern("|".join(f"a{i}b" for i in range(3_000))),
    "what may stand anywhere": lambda: pattern("[a-z].*[0-9].*(x|y|xy){3,50}.*z"),
    "a pattern with a length": lambda: {**pattern("^(a|b)*$"), "minLength": 5, "maxLength": 900},
    "look-aheads in a loop": lambda: pattern("^((?=.*a)(?=.*b)(?!.*cc)[abc])*$"),
    "twenty look-aheads": lambda: pattern(
        "^" + "".join(f"(?=.*{chr(97 + i)})" for i in range(20)) + ".*$"
    ),
    "look-aheads within one another": lambda: pattern("(?=" * 15 + "a" + "b*)" * 15 + "c"),
    "look-behinds of any length": lambda: pattern("(?<!a.{40})b(?<=c.{50})"),
    "words between words": lambda: pattern(r"(\b\w+\b\W+){3,9}"),
    "letters of all scripts, counted": lambda: pattern(r"^[\p{L}\p{N}]{0,400}[^\w]{0,400}$"),
    "five patterns at once": lambda: {
        "allOf": [
            pattern(f"{x}.{{{n}}}{x}") for n, x in zip((5, 7, 9, 11, 13), "abcde", strict=True)
        ]
    },
    "a pattern and its denials": lambda: {
        **pattern("^[ab]*$"),
        "allOf": [{"not": {"pattern": f"a[ab]{{{n}}}b"}} for n in range(9)],
    },
    "a format with a high length": lambda: {"type": "string", "format": "email", "maxLength": 200},
    "a format, a pattern and a high length": lambda: {
        "type": "string",
        "format": "uri",
        "pattern": "^https?://.*/$",
        "maxLength": 2_000,
    },
    "forty patterns of keys": lambda: {
        "type": "object",
        "patternProperties": {f"^.{{{i}}}x": {"minimum": i} for i in range(40)},
        "additionalProperties": {"type": "string"},
    },
    "two hundred keys beside patterns": lambda: {
        "type": "object",
        "properties": {f"key-number-{i * i}": {} for i in range(200)},
        "patternProperties": {"^x-": {}, "[0-9]$": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    },
    "sixty alternatives of which one": lambda: {
        "oneOf": [
            {"type": "object", "properties": {f"a{i}": {}, f"a{i + 1}": {"type": "null"}}}
            for i in range(60)
        ]
    },
    "twenty conditions": lambda: {
        "type": "object",
        "properties": {f"a{i}": {} for i in range(20)},
        "allOf": [{"if": {"required": [f"a{i}"]}, "then": {"minProperties": i}} for i in range(20)],
    },
    "conditions in conditions": lambda: nested(
        12, lambda inner: {"if": inner, "then": {"minimum": 1}, "else": inner}, {"maximum": 9}
    ),
    "not of an object of a hundred": lambda: {
        "type": "object",
        "not": {
            "not": {
                "properties": {f"a{i}": {"type": "integer"} for i in range(100)},
                "required": [f"a{i}" for i in range(100)],
            }
        },
    },
    "multiples of many": lambda: {
        "type": "integer",
        "allOf": [{"not": {"multipleOf": n}} for n in (7, 11, 13, 17, 19)],
    },
    "contains of contains": lambda: nested(
        14, lambda inner: {"type": "array", "contains": inner, "maxContains": 3}, {"const": 1}
    ),
    "300 values at most once": lambda: {
        "type": "array",
        "items": {"enum": list(range(300))},
        "uniqueItems": True,
        "minItems": 20,
    },
    "8,000 long values": lambda: {
        "enum": [f"{'abc' * (i % 7)}/{i}/{'value' * 12}" for i in range(8_000)]
    },
    "a reference to a group": lambda: pattern(r"^(a)\1$"),
    "a class of most of Unicode": lambda: pattern(r"^[^\u0000-\u001f\ud800-\udfff]{0,500}$"),
}
