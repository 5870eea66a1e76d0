"""Odd JSON, odd names and odd numbers, drawn at random."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["odd_json", "odd_name", "odd_pattern", "odd_value", "replaced", "wide_json"]

NAMES: tuple[Callable[[Random], str], ...] = (
    lambda r: "../" * r.randint(1, 9) + "x",
    lambda _: "/etc/passwd",
    lambda _: "C:\\windows\\x",
    lambda r: chr(r.randrange(1, 32)) + "x",
    lambda _: "a\0b",
    lambda _: "\u202egnp.exe",
    lambda _: "\x1b]0;title\x07x",
    lambda r: "n" * r.choice([241, 300, 5_000, 60_000]),
    lambda r: "/".join("d" * r.randint(3, 20)),
    lambda r: r.choice(["con", "NUL.txt", "lpt1", "a.", "a ", "a:b", "a*b", "~", "-rf", "%s%n"]),
    lambda r: r.choice(["é", "e\u0301", "ſ", "K", "ß", "ﬁ", "İ", "😀", "\u200b"]) * r.randint(1, 9),
    lambda _: "a//b",
    lambda _: "./././x",
    lambda _: "MANIFEST.json",
    lambda _: "adapter_model.safetensors/x",
)

NUMBERS = (
    *("1" * 100_000, "-" + "9" * 5_000, "1e999", "-1e999", "1e-999", "1.7976931348623157e308"),
    *("NaN", "Infinity", "-Infinity", "9007199254740993", "-1", "0", "1e400000000", "0.1e1", "-0"),
)

STRINGS = (
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\u001b[2J"', '"\\u202e"', '""', '"%s"'),
    *('"{0.__class__}"', '"' + "x" * 100_000 + '"', '"' + "é😀" * 9_000 + '"', '"\\n\\n\\n"'),
)

CONTAINERS = (
    *("[]", "{}", "[[]]", '{"a": {}}', "null", "true", "[" * 60 + "]" * 60, "[" * 5_000),
    *("[" + "[]," * 50_000 + "[]]", "[" + "1," * 100_000 + "1]", '{"type": []}', "[null]"),
    '{"a":' * 40 + "1" + "}" * 40,
)

PIECES = (
    *(".*", ".+", "(.|.)", "(a|a)*", r"(\w+)+", ".?", "(..?)?", r"(.|[\w.])", "(?=.*)", "(?!x)"),
    *("q_proj", r"layers\.", "[0-9]+", "{2,9}", "{99,}", "(?i:Q)", "(?x: a +)", "(?<=a)", r"\b"),
    *(
        "(",
        ")",
        "[",
        "\\",
        "*",
        "(?P<a>x)",
        r"\1",
        "(?(1)a|b)",
        "(?>a*)",
        "a*+",
        "|",
        "^",
        "$",
        "é",
    ),
)


def odd_name(random: Random) -> str:
    """A name of a file or tensor."""
    return random.choice(NAMES)(random)


def odd_pattern(random: Random) -> str:
    """A regular expression that may take a backtracking engine for ever."""
    if random.random() < 0.1:
        return "[" + "\\" * random.randint(20, 200)
    if random.random() < 0.1:
        return "(" * random.randint(10, 600) + "a" + ")*" * random.randint(10, 600)
    piece = "".join(random.choices(PIECES, k=random.randint(1, 4)))
    return piece * random.choice([1, 1, 2, 10, 30, 60]) + random.choice(["", "!", "!$"])


def odd_value(random: Random) -> str:
    """JSON text of a value that fits nowhere, or no JSON at all."""
    return random.choice(random.choice([NUMBERS, STRINGS, CONTAINERS]))


_MARK = "\uf8ff odd \uf8ff"


def replaced(random: Random, value: Any, odd: str) -> str:
    """JSON text of ``value`` with ``odd`` in the place of one value, key included at times."""
    copy = json.loads(json.dumps(value))
    place = copy
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = random.choice(keys)
        child = place[key]
        if not isinstance(child, (dict, list)) or not child or random.random() < 0.3:
            break
        place = child
    place[key] = _MARK
    return json.dumps(copy).replace(json.dumps(_MARK), odd)


def odd_json(random: Random, value: Any) -> bytes:
    """``value`` as JSON with one to four oddities, or damaged as bytes."""
    text = json.dumps(value)
    with contextlib.suppress(ValueError, RecursionError):  # the first one was no JSON
        for _ in range(random.randint(1, 4)):
            text = replaced(random, json.loads(text), odd_value(random))
    data = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.15:
        place = random.randrange(len(data))
        noise = random.choice([b"\xff", b"\0", b"]", b'"', b"\xef\xbb\xbf", b"//", b","])
        data = data[:place] + noise + data[place:]
    return data if random.random() > 0.05 else data[: random.randrange(len(data))]


def wide_json(random: Random, n_bytes: int) -> str:
    """An array of about ``n_bytes`` whose values take as much memory as they can."""
    piece = random.choice(
        ["[],", "{},", "1.5,", '"ab",', '{"a":1},', "[[]],", '"😀a",', "null,", "[[[[]]]],"]
    )
    return "[" + piece * (n_bytes // len(piece)) + "0]"
