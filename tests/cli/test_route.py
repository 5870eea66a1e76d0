"""``hivellm-lite route``: the chosen name, the reasons, and names for packages."""

from __future__ import annotations

import functools
import io
import json

import pytest


@pytest.fixture
def route(tool):
    """Run the command in this process: ``code, out, err = route("prompt", …)``."""
    return functools.partial(tool, "route")


@pytest.fixture
def packages(tiny_package):
    def keywords(*words: str) -> dict[str, object]:
        return {"routing": {"keywords": words, "priority": 1}, "capabilities": []}

    return (
        tiny_package("cats", **keywords("cat", "kitten")),
        tiny_package("dogs", **keywords("dog")),
    )


def test_prints_the_name_and_nothing_else(route, packages):
    assert route("Feed the dog", *packages) == (0, "dogs\n", "")


def test_names_the_base_where_no_expert_fits(route, packages):
    assert route("Feed the bird", *packages)[:2] == (0, "base\n")
    assert route("What is a dog", *packages)[:2] == (0, "base\n")


def test_explains_with_every_score(route, packages):
    code, out, _ = route("A cat, a kitten, a dog", *packages, "--explain")
    assert code == 0
    chosen, reason, first, second = out.splitlines()
    assert chosen == "cats"
    assert reason.startswith("because cats scores 2 = ")
    assert " ".join(first.split()) == 'cats 2 = 2 for keywords "cat", "kitten"'
    assert second.split()[:2] == ["dogs", "1"]


def test_prints_json(route, packages):
    facts = json.loads(route("dog", *packages, "--json")[1])
    assert facts["expert"] == "dogs"
    assert [score["name"] for score in facts["scores"]] == ["dogs", "cats"]
    assert json.loads(route("bird", *packages, "--json")[1])["expert"] is None


def test_takes_names_before_packages_and_the_prompt_from_stdin(route, packages, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("the dog"))
    assert route("-", packages[0], f"puppies={packages[1]}")[1] == "puppies\n"


def test_two_packages_need_two_names(route, packages):
    code, out, err = route("dog", packages[0], packages[0])
    assert (code, out) == (2, "")
    assert "two packages have the name 'cats'" in err
    assert route("dog", packages[0], f"more={packages[0]}")[0] == 0


@pytest.mark.parametrize("name", ["auto", "base"])
def test_names_with_a_meaning_are_refused(route, packages, name):
    code, _, err = route("dog", f"{name}={packages[0]}")
    assert code == 2
    assert f"{name!r} cannot be an expert's name" in err


def test_a_path_that_holds_an_equals_sign_is_a_path(route, packages, tmp_path):
    path = tmp_path / "a=b.expert"
    path.write_bytes(packages[1].read_bytes())
    assert route("dog", path)[:2] == (0, "a=b\n")


def test_a_package_that_is_not_there_is_one_message(route, packages):
    code, out, err = route("dog", packages[0], "none.expert")
    assert (code, out) == (1, "")
    assert "none.expert: no such file or folder" in err
