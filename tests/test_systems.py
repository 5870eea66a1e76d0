"""Tests that need POSIX say so; others can at least be imported and tried on Windows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .support.paths import ROOT

pytestmark = pytest.mark.unmeasured

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules that Windows lacks."""

NAMES = {
    *("os.fork", "os.forkpty", "os.geteuid", "os.getuid", "os.kill", "os.killpg", "os.mkfifo"),
    *("os.umask", "os.waitpid", "signal.SIGALRM", "signal.SIGKILL", "signal.SIGSTOP"),
    *("signal.SIGUSR1", "socket.AF_UNIX"),
}
"""What Windows lacks, or has with another meaning: ``os.kill`` ends a process there."""

GUARDS = ("skipif", "needs_posix", "importorskip", "pytest.skip(")

FILES = sorted((ROOT / "tests").rglob("*.py"))
OF_OTHERS = {"tests/stress", "tests/hostile/children.py"}
"""For Linux alone, as the tests say that use them."""


def guarded(node: ast.AST, source: str) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(
        guard in (ast.get_source_segment(source, one) or "")
        for one in decorators
        for guard in GUARDS
    )


def top_imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def whole_module_is_guarded(tree: ast.Module, source: str) -> bool:
    """Whether an assignment or a call at the top skips everything, or names what is skipped."""
    texts = [
        ast.get_source_segment(source, node) or ""
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return any(
        guard in text
        for text in texts
        for guard in GUARDS
        if "pytestmark" in text or guard in ("importorskip", "pytest.skip(")
    )


def functions(tree: ast.Module, source: str) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """Name, function, and whether it or its class says what it needs."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node, guarded(node, source)
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    said = guarded(node, source) or guarded(inner, source)
                    yield inner.name, inner, said


def needs(node: ast.AST) -> bool:
    """Whether something that only POSIX has is used in it."""
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            if f"{one.value.id}.{one.attr}" in NAMES or one.value.id in MODULES:
                return True
        elif isinstance(one, ast.List) and one.elts:
            first = one.elts[0]
            if isinstance(first, ast.Constant) and first.value == "sh":
                return True
    return False


def unmarked(path: Path) -> list[str]:
    """The tests of a file that need POSIX, directly or through its helpers, and do not say so; and
    what it imports that Windows lacks.
    """
    source = path.read_text("utf-8")
    if not any(name in source for name in [*NAMES, *MODULES, '"sh"']):
        return []
    tree = ast.parse(source)
    if whole_module_is_guarded(tree, source):
        return []
    imported = [f"import {name}" for name in top_imports(tree) if name in MODULES]
    found = list(functions(tree, source))
    needing = {name for name, node, said in found if needs(node) and not said}
    while True:
        more = {
            name
            for name, node, said in found
            if not said
            and name not in needing
            and any(isinstance(one, ast.Name) and one.id in needing for one in ast.walk(node))
        }
        if not more:
            return imported + sorted(name for name in needing if name.startswith("test_"))
        needing |= more


def test_what_needs_posix_says_so():
    found: dict[str, list[str]] = {}
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        if name not in OF_OTHERS and path.parent.relative_to(ROOT).as_posix() not in OF_OTHERS:
            found[name] = unmarked(path)
    assert {name: tests for name, tests in found.items() if tests} == {}, (
        "mark them: @needs_posix('…') of tests/support/systems.py"
    )


def test_the_places_and_tests_that_the_page_of_platforms_names_exist():
    page = (ROOT / "docs" / "platforms.md").read_text("utf-8")
    for name in re.findall(r"`((?:hivellm_lite|tests|\.github)/[\w./-]+?|\.gitattributes)`", page):
        assert (ROOT / name).exists(), name
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), f"{file}::{test}"
    # a test that the page says is for POSIX alone must say so itself
    only = re.findall(r"`(tests/[\w/]+\.py)(?:::\w+)?` \((?:POSIX|Linux)\)", page)
    for file in only:
        source = (ROOT / file).read_text("utf-8")
        assert any(guard in source for guard in GUARDS), file


def test_an_unmarked_test_is_found(tmp_path: Path):
    path = tmp_path / "test_new.py"
    path.write_text(
        "import os\nimport pty\n\ndef child():\n    os.fork()\n\ndef work():\n    child()\n\n"
        "def test_one():\n    work()\n\n@needs_posix('forks')\ndef test_two():\n    work()\n\n"
        "def test_three():\n    pass\n\n"
        "class TestX:\n    def test_four(self):\n        os.mkfifo('x')\n",
        encoding="utf-8",
    )
    assert unmarked(path) == ["import pty", "test_four", "test_one"]
