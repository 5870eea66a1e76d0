"""The memory of JSON, counted beforehand, is never less than what it takes."""

from __future__ import annotations

import json
import tracemalloc
from random import Random

import pytest

from hivellm_lite.strict_json.cost import json_memory

N = 10_000

TEXTS = {
    "empty lists": "[" + "[]," * N + "[]]",
    "empty objects": "[" + "{}," * N + "{}]",
    "lists of one": "[" + "[1]," * N + "[1]]",
    "lists of two strings": "[" + '["ab", "cd"],' * N + "[]]",
    "objects of one key": "[" + ",".join(f'{{"k{i}": {i}}}' for i in range(N)) + "]",
    "one large object": "{" + ",".join(f'"k{i}": "v{i}"' for i in range(N)) + "}",
    "an object that has just grown": "{" + ",".join(f'"k{i}":{i}' for i in range(10_923)) + "}",
    "floats": "[" + "1.5," * N + "1]",
    "large numbers": "[" + "123456789012345678901," * N + "1]",
    "one long string": '["' + "a" * N * 10 + '"]',
    "one long string that an emoji widens": '["' + "a" * N * 10 + '😀"]',
    "strings that an escape widens": '["' + '\\ud83d\\ude00","'.join(["a" * 500] * 100) + '"]',
    "many wide strings": "[" + '"aé€",' * N + '""]',
    "many strings with emoji": "[" + '"abc😀",' * N + '""]',
    "a vocabulary": json.dumps({f"tok{i}": i for i in range(N)}, indent=2),
}


def taken(text: str) -> int:
    """Bytes that the text and its values take at most."""
    data = text.encode()
    tracemalloc.start()
    try:
        decoded = data.decode()
        values = json.loads(decoded)
        return tracemalloc.get_traced_memory()[1] if values is not None else 0
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", TEXTS)
def test_is_an_upper_bound(name: str) -> None:
    bound = json_memory(TEXTS[name].encode())
    assert taken(TEXTS[name]) <= bound + 4096


@pytest.mark.parametrize("name", ["a vocabulary", "lists of two strings", "one large object"])
def test_ordinary_json_is_not_overrated(name: str) -> None:
    assert json_memory(TEXTS[name].encode()) < 2.5 * taken(TEXTS[name])


def test_is_an_upper_bound_of_random_values() -> None:
    random = Random(3)

    def value(depth: int) -> object:
        kind = random.randrange(6 if depth else 3)
        if kind == 0:
            return random.choice([None, True, 7, 10**9, 0.25, -1e300])
        if kind == 1:
            return "".join(random.choices('ab "\\é€😀[{,:', k=random.randrange(12)))
        if kind == 2:
            return random.choice(["", [], {}])
        if kind == 3:
            return {f"{random.random()}": value(depth - 1) for _ in range(random.randrange(9))}
        return [value(depth - 1) for _ in range(random.randrange(9))]

    for _ in range(25):
        for escaped in (True, False):
            text = json.dumps([value(5) for _ in range(20)], ensure_ascii=escaped)
            assert taken(text) <= json_memory(text.encode()) + 4096
