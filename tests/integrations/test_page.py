"""The examples of ``docs/integrations.md`` print what the page says."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from ..support.paths import ROOT

pytestmark = pytest.mark.unmeasured  # programs of their own, or a second way to the same code


PAGE = (ROOT / "docs" / "integrations.md").read_text("utf-8")
LIBRARIES = {
    "LangChain": "langchain_core",
    "LlamaIndex": "llama_index",
    "Haystack": "haystack",
    "llm": "llm",
}


def section(title):
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    if importlib.util.find_spec(LIBRARIES[title]) is None:
        pytest.skip(f"needs {LIBRARIES[title]}")
    return found


@pytest.fixture
def run(real_base, example_cache, tmp_path):
    """Run a program in the folder of the repository; returns what it prints."""
    environment = {
        **os.environ, "HIVELLM_HOME": str(example_cache), "LLM_USER_PATH": str(tmp_path),
        "PYTHON": sys.executable, "PYTHONUTF8": "1",
    }  # fmt: skip

    def run(*arguments):
        ran = subprocess.run(
            arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    return run


@pytest.mark.parametrize("title", ["LangChain", "LlamaIndex", "Haystack"])
def test_the_example_prints_what_the_page_says(run, title):
    example, printed = re.search(
        r"```python\n(.*?)```\n\n```output\n(.*?)```", section(title), re.S
    ).groups()
    assert run(sys.executable, "-c", example) == printed.strip()


def test_the_commands_print_what_the_page_says(run):
    (console,) = re.findall(r"```console\n(\$ .*?)```", section("llm"), re.DOTALL)
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*)", console, re.MULTILINE)
    printed = re.sub(r"^\$ (?:.*\\\n)*.*\n", "", console, flags=re.MULTILINE)
    script = 'llm() { "$PYTHON" -m llm "$@"; }\nset -e\n' + "\n".join(commands)
    assert run("bash", "-c", script) == printed.strip()


def test_an_import_without_the_library_names_the_extra(run):
    code = """
import sys
from importlib import import_module
names = {"langchain": "langchain_core", "llama_index": "llama_index", "haystack": "haystack"}
homes = {f"integrations.{name}": library for name, library in names.items()}
for home, library in {**homes, "integrations.llm_plugin": "llm", "gradio": "gradio"}.items():
    sys.modules[library] = None
    try:
        import_module(f"hivellm_lite.{home}")
    except ImportError as error:
        print(error)
"""
    said = run(sys.executable, "-c", code).splitlines()
    extras = ["langchain", "llama-index", "haystack", "llm", "gradio"]
    assert [line.partition("[")[2] for line in said] == [f"{extra}]'" for extra in extras]
    assert all(" is not installed: run pip install 'hivellm-lite[" in line for line in said)
