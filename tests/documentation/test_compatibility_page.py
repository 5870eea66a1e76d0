"""The page of versions, compared with what the project says of itself."""

from __future__ import annotations

import re

from hivellm_lite.toml_text import parse_toml

from ..support.paths import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
PROJECT = parse_toml((ROOT / "pyproject.toml").read_bytes())["project"]


def test_every_dependency_is_told_with_its_bounds():
    assert f"| Python | {PROJECT['requires-python'].removeprefix('>=')} and later |" in PAGE
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["server"], *extras["signing"], *extras["ray"]]
    rows = {name: row for row in PAGE.splitlines() for name in re.findall(r"[\w-]+", row[:60])}
    for text in needed:
        name, bounds = re.fullmatch(r"([\w-]+)(?:\[\w+\])?([^;]*)(?:;.*)?", text).groups()
        assert not bounds or f"`{bounds}`" in rows[name], text


def test_the_errors_that_it_quotes_are_those_of_the_page_of_methods():
    methods = (ROOT / "docs" / "methods.md").read_text("utf-8").partition("## On a real model")[0]
    rows = re.findall(r"^\| ([^|]+) \| \d+ \| (\S+) \| (\S+) \|$", methods, re.MULTILINE)
    exact = [(name, lora) for name, _, lora in rows if lora != "—"]
    largest = max((variant for _, variant, _ in rows), key=float)
    assert f"| all {len(rows)} rows of that page | {largest} |" in PAGE
    names = ", ".join(name for name, _ in exact)
    assert f"| LoRA | {names} | {max((error for _, error in exact), key=float)} |" in PAGE


def test_its_promise_is_that_of_the_page_of_public_names():
    for page in (PAGE, (ROOT / "docs" / "api.md").read_text("utf-8")):
        said = " ".join(page.split())
        assert "Versions follow [Semantic Versioning](https://semver.org/)" in said
        assert "a release with a new second number may change or remove public names" in said
        assert "a release with a new third number changes none" in said
