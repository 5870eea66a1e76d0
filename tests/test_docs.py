"""Documentation that is made from the code, and commands that the README promises."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_of_the_command_line_is_what_help_prints():
    spec = importlib.util.spec_from_file_location("docs", ROOT / "scripts" / "make_cli_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.render(), "run scripts/make_cli_docs.py"


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"test", "demo"} <= named <= targets


def test_files_that_the_documentation_links_to_exist():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


ROOM_MAP = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PACKAGE = ROOT / "hivellm_lite"


def test_the_map_of_the_rooms_names_every_folder_and_every_module_that_stands_alone():
    folders = [PACKAGE, ROOT / "converters"]
    rooms = {init.parent for folder in folders for init in folder.rglob("__init__.py")}
    modules = {path for folder in folders for path in folder.glob("*.py")}
    wanted = {f"{room.relative_to(ROOT)}/" for room in rooms}
    wanted |= {str(path.relative_to(ROOT)) for path in modules if not path.name.startswith("_")}
    named = set(re.findall(r"^\| `([^`]+)` \|", ROOM_MAP, re.MULTILINE))
    assert wanted - named <= {"hivellm_lite/", "converters/"}


def test_every_path_in_the_guide_for_contributors_exists():
    roots = ("hivellm_lite", "converters", "grammars", "tests", "scripts", "docs", "benchmarks")
    named = [text for text in re.findall(r"`([^`\n]+)`", ROOM_MAP) if text.startswith(roots)]
    paths = {text for text in named if "/" in text and not re.search("[A-Z]{4,}", text)}
    assert len(paths) > 60
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
