"""The page of environment variables, compared with the modules that read the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..support.paths import ROOT

PAGE = ROOT / "docs" / "environment.md"
FOLDERS = ("hivellm_lite", "converters", "grammars")

_VARIABLE = re.compile(r"_?[A-Z]+(?:_[A-Z]+)+|LOCALAPPDATA")
_FOR_GIT = re.compile(r"GIT_.*|LC_ALL|LANGUAGE")
"""Handed to git, or kept from it; the page tells of them in words."""


def _public_names(module: ast.Module) -> set[str]:
    return {
        name.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.walk(node.value)
        if isinstance(name, ast.Constant)
    }


def _variables(module: ast.Module) -> Iterator[str]:
    """Texts that look like variables, in a module that uses ``os.environ``."""
    nodes = list(ast.walk(module))
    if not any(isinstance(node, ast.Attribute) and node.attr == "environ" for node in nodes):
        return
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and _VARIABLE.fullmatch(text) and not _FOR_GIT.fullmatch(text):
            yield text


def test_the_page_has_exactly_the_variables_that_the_code_reads():
    read = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            module = ast.parse(path.read_text("utf-8"))
            read |= set(_variables(module)) - _public_names(module)
    text = PAGE.read_text("utf-8").partition("## Read by libraries")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    told = [name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(told) == sorted(read)


def test_nobody_reads_the_environment_in_another_way():
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            assert "getenv" not in path.read_text("utf-8"), path
