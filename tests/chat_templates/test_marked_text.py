"""Text that knows which characters are a user's: as `str` in all else."""

from __future__ import annotations

import random

import pytest

from hivellm_lite.chat_templates import marked_text as marks
from hivellm_lite.chat_templates.budget import Budget
from hivellm_lite.chat_templates.methods import METHODS

LETTERS = {None: "ab \n<é", 0: "xy \n", 1: "ẑŷ \n"}
"""What the template writes, and what the two messages hold."""


def randomly_marked(draw: random.Random) -> tuple[str, list[int | None]]:
    """A text in runs, and the origin of each of its characters."""
    runs = [
        ("".join(draw.choices(LETTERS[origin], k=draw.randrange(5))), origin)
        for origin in draw.choices([None, 0, 1], k=draw.randrange(6))
    ]
    origins = [origin for text, origin in runs for _ in text]
    return marks.join(marks.mark(text, origin) for text, origin in runs), origins


def origins_of(text: str) -> list[int | None]:
    return [origin for length, origin in marks.marks_of(text) for _ in range(length)]


def method(text: str, name: str, *args: object) -> object:
    return METHODS[str][name](Budget(1000), text, *args)


@pytest.mark.parametrize("seed", range(200))
def test_every_character_keeps_its_origin(seed):
    draw = random.Random(seed)
    text, origins = randomly_marked(draw)
    plain = str.__str__(text)
    assert origins_of(text) == origins
    assert [origins_of(one) for one in text] == [[origin] for origin in origins]
    start, stop = sorted(draw.choices(range(len(text) + 1), k=2))
    for one in (text[start:stop], marks.cut(text, start, stop)):
        assert (one, origins_of(one)) == (plain[start:stop], origins[start:stop])
    assert origins_of(text[::-2]) == origins[::-2]
    assert origins_of(marks.repeated(text, 3)) == origins * 3
    joined = marks.join([text, "-", text], "+")
    assert origins_of(joined) == [*origins, None, None, None, *origins]


@pytest.mark.parametrize("seed", range(200))
def test_methods_give_what_those_of_str_give_and_no_users_text_becomes_the_templates(seed):
    draw = random.Random(seed)
    text, _ = randomly_marked(draw)
    plain = str.__str__(text)
    for name, *args in (
        ("strip",),
        ("lstrip", " \n"),
        ("rstrip", "a"),
        ("split",),
        ("split", "y"),
        ("split", " ", 1),
        ("rsplit",),
        ("rsplit", None, 1),
        ("rsplit", "a", 2),
        ("splitlines",),
        ("splitlines", True),
        ("partition", "a"),
        ("rpartition", "ẑ"),
        ("replace", "x", "ab-"),
        ("replace", "", "-"),
        ("replace", "xy", "", 1),
        ("upper",),
        ("title",),
        ("capitalize",),
        ("removeprefix", "a"),
        ("removesuffix", "y"),
        ("center", 12),
        ("zfill", 9),
        ("startswith", "a"),
        ("find", "y"),
        ("count", "a"),
        ("isspace",),
    ):
        found = method(text, name, *args)
        wanted = getattr(plain, name)(*args)
        assert found == wanted
        parts = found if isinstance(found, (list, tuple)) else [found]
        for part in parts:
            if isinstance(part, str):
                for char, origin in zip(part, origins_of(part), strict=True):
                    assert origin is not None or char.lower() not in "xyẑŷ"


def test_an_operation_that_cannot_tell_the_two_apart_gives_all_to_the_user():
    text = marks.join(("<|end|>", marks.mark("hi", 3)))
    budget = Budget(10)
    padded = METHODS[str]["center"](budget, text, 20)
    assert origins_of(padded) == [3] * 20
    assert budget.mixed_in == "center"
    whole = METHODS[str]["center"](budget := Budget(10), marks.mark("hi", 3), 20)
    assert (origins_of(whole), budget.mixed_in) == ([3] * 20, None)
