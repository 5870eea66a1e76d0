"""What importing the package loads, and what its public names are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import hivellm_lite

SOURCES = sorted(Path(hivellm_lite.__file__).parent.rglob("*.py"))
HEAVY = {"torch", "transformers", "peft", "llama_cpp", "numpy", "gguf", "requests", "yaml"} | {
    "huggingface_hub",
    "httpx2",
    "httpx",
}


def modules_after(statement: str) -> set[str]:
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import hivellm_lite")
    assert not loaded & (HEAVY | {"click", "filelock", "ctypes", "tarfile", "hivellm_lite.expert"})
    ours = {name for name in loaded if name.startswith("hivellm_lite")}
    assert ours == {"hivellm_lite", "hivellm_lite._version", "hivellm_lite.errors"}


def test_the_help_of_the_command_loads_nothing_heavy():
    statement = (
        "from click.testing import CliRunner; from hivellm_lite.cli import cli; "
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0"
    )
    assert not modules_after(statement) & HEAVY


def test_the_help_of_no_command_loads_llama_cpp():
    statement = (
        "from click.testing import CliRunner; from hivellm_lite.cli import cli; "
        "names = cli.list_commands(None); "
        "codes = {name: CliRunner().invoke(cli, [name, '--help']).exit_code for name in names}; "
        "assert set(codes.values()) == {0}, codes"
    )
    loaded = modules_after(statement)
    assert "hivellm_lite.cli.bench" in loaded
    assert "llama_cpp" not in loaded


def test_using_the_expert_class_does_not_load_torch():
    loaded = modules_after(
        "import hivellm_lite; hivellm_lite.Expert; import hivellm_lite.engine.native"
    )
    assert "hivellm_lite.engine.native" in loaded
    assert not loaded & {"torch", "transformers", "peft"}


def test_llama_cpp_is_used_without_the_rest_of_its_python_package():
    native = "import hivellm_lite.engine.native as native; native.start()"
    assert not {"numpy", "jinja2", "llama_cpp"} & modules_after(native)
    other_way_round = f"{native}; import llama_cpp; llama_cpp.llama_cpp.llama_backend_init()"
    assert "llama_cpp.llama" in modules_after(other_way_round)


def test_llama_cpp_that_is_imported_already_is_used_as_it_is():
    modules_after(
        "import llama_cpp; from hivellm_lite.engine.native import llama; "
        "assert llama is llama_cpp.llama_cpp"
    )


NOT_BEFORE_A_MODEL = {"numpy", "asyncio", "jinja2", "gguf", "filelock", "tokenizers", "llama_cpp"}
"""What takes long to import, and is not needed to find and check the files of an expert."""


def test_the_command_run_loads_nothing_that_answering_alone_needs():
    loaded = modules_after("import hivellm_lite.cli.run, hivellm_lite.engine.native")
    ours = {"hivellm_lite.inference.session", "hivellm_lite.requests.builder", "hivellm_lite.gbnf"}
    assert not loaded & (NOT_BEFORE_A_MODEL | ours)


FIND_FILES = """\
from hivellm_lite.cache.store import Cache
from hivellm_lite.loading.files import prepare_files
from hivellm_lite.loading.options import LoadSettings
files = prepare_files({package!r}, LoadSettings.of(dict(base={base!r}), caller='a test'), Cache())
assert not files.adapter.converted"""


@pytest.mark.parametrize("adapter", ["plain", "dora"])
def test_what_was_converted_is_found_without_reading_the_adapter(tiny_package, tiny_base, adapter):
    package = tiny_package(adapter=adapter)
    hivellm_lite.Expert.load(package, base=tiny_base).close()
    loaded = modules_after(FIND_FILES.format(package=str(package), base=str(tiny_base)))
    assert not loaded & NOT_BEFORE_A_MODEL
    assert "hivellm_lite.converters.peft.adapter" not in loaded


def test_the_headers_of_base_and_adapter_are_each_read_once(tiny_package, tiny_base):
    from hivellm_lite.converters.gguf import header

    package = tiny_package()
    hivellm_lite.Expert.load(package, base=tiny_base).close()
    header._read.cache_clear()
    with hivellm_lite.Expert.load(package, base=tiny_base, n_threads=1) as expert:
        expert.generate("Hi", max_tokens=2)
    assert header._read.cache_info().misses == 2


def test_a_synchronous_answer_does_not_load_asyncio(tiny_package, tiny_base):
    package = tiny_package()
    with hivellm_lite.Expert.load(package, base=tiny_base, n_threads=1) as made:
        made.generate("Hi", max_tokens=2)  # the locks of what is made load asyncio on Python 3.10
    loaded = modules_after(
        f"import hivellm_lite; e = hivellm_lite.Expert.load({str(package)!r}, "
        f"base={str(tiny_base)!r}, n_threads=1); e.generate('Hi', max_tokens=2); e.close()"
    )
    assert "numpy" in loaded
    assert "asyncio" not in loaded


def test_the_tool_looks_for_cycles_seldom_while_it_imports():
    modules_after(
        "import contextlib, gc, io; from hivellm_lite.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): "
        "main(['--version'])\n"
        "assert gc.isenabled() and gc.get_threshold()[0] >= 10_000\npass"
    )


@pytest.mark.parametrize("name", ["Expert", "ExpertManager", "open_package"])
def test_a_public_name_does_not_load_llama_cpp_before_a_model_is_loaded(name):
    loaded = modules_after(f"import hivellm_lite; hivellm_lite.{name}")
    assert not loaded & {"llama_cpp", "hivellm_lite.engine.native"}


def test_all_is_sorted_and_is_exactly_what_is_public():
    assert hivellm_lite.__all__ == sorted(hivellm_lite.__all__)
    for name in hivellm_lite.__all__:
        assert getattr(hivellm_lite, name) is not None
    assert dir(hivellm_lite) == hivellm_lite.__all__
    with pytest.raises(AttributeError, match="no attribute 'Exprt'"):
        _ = hivellm_lite.Exprt


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_ctypes_and_llama_cpp_appear_in_the_engine_alone(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").split(".")[0])
    if path.parent.name != "engine":
        assert not imported & {"ctypes", "llama_cpp"}
    assert not imported & {"torch", "transformers", "peft", "pickle"}


def test_only_one_module_of_the_tool_writes_to_its_streams():
    """Everything else goes through it, so that no text of others reaches a terminal raw."""
    folder = Path(hivellm_lite.__file__).parent / "cli"
    writing = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "click.echo", "click.secho", "click.echo_via_pager"):
                    writing.add((path.name, called))
                if called.endswith((".write", ".writelines")) and "std" in called:
                    writing.add((path.name, called))
    assert writing <= {("__init__.py", "print")}


def test_no_cached_property_holds_a_lock_that_a_fork_could_take_with_it():
    used = [path.name for path in SOURCES if "import cached_property" in path.read_text("utf-8")]
    used += [p.name for p in SOURCES if "functools.cached_property\n" in p.read_text("utf-8")]
    assert used == [], "use hivellm_lite.lazy instead"
