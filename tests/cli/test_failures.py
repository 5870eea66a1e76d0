"""Ordinary conditions are explained; only what is left over is called a defect."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from hivellm_lite import Expert
from hivellm_lite.cli.failures import explain
from hivellm_lite.cli.option_names import as_options
from hivellm_lite.errors import LoadError
from hivellm_lite.user_paths import path_exists, user_path

from ..support.paths import FIXTURES
from ..support.systems import needs_posix

LONG = "a" * 100_000
NOBODY = "~no-such-user-here/x"
QUICK = ("--n-ctx", "256", "--n-threads", "1", "--temperature", "0", "--max-tokens", "4")


class TestExplain:
    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            OSError(errno.EIO, "Input/output error"),
            OSError("4608 requested and 0 written"),
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            MemoryError(),
            MemoryError("Unable to allocate 9 GiB"),
            RecursionError("maximum recursion depth exceeded"),
            ZeroDivisionError("division by zero"),
            OverflowError("int too large to convert to float"),
            ValueError("n_ctx=0: must be above 0"),
            UnicodeDecodeError("utf-8", b"x", 0, 1, "y"),
            ModuleNotFoundError("No module named 'llama_cpp'"),
            RuntimeError("can't start new thread"),
            RuntimeError("Could not determine home directory."),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_has_words_for_ordinary_conditions(self, error):
        message = explain(error)
        assert message
        assert "defect" not in message
        if not isinstance(error, ValueError) and str(error) != "4608 requested and 0 written":
            assert "\n" in message

    @pytest.mark.parametrize("error", [KeyError("x"), TypeError("y"), AssertionError()])
    def test_leaves_defects_alone(self, error):
        assert explain(error) is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x\nor pass allow_unenforced=True to go on", "x\nor pass --allow-unenforced to go on"),
        ("Load it with adapter_mode='lora'.", "Load it with --adapter-mode lora."),
        (
            "x\nUse a smaller n_ctx, or kv_type='q8_0'.",
            "x\nUse a smaller --n-ctx, or --kv-type q8_0.",
        ),
        ("Load with n_ctx=512 (--n-ctx 512); this", "Load with --n-ctx 512; this"),
        ("Give it with base=PATH (--base PATH): a", "Give it with --base PATH: a"),
        ("or pass --no-verify (verify=False) if", "or pass --no-verify if"),
        ("Set HIVELLM_HOME (or cache_dir=) to", "Set HIVELLM_HOME (or --cache-dir) to"),
        ("top_p=7.0: must be above 0", "top_p=7.0: must be above 0"),
        ('"max_tokens" is text', '"max_tokens" is text'),
        ("x\nsee a/n_ctx.py and my.n_ctx", "x\nsee a/n_ctx.py and my.n_ctx"),
        ("database=PATH xbase=PATH", "database=PATH xbase=PATH"),
    ],
)
def test_options_of_the_library_get_the_names_of_the_command_line(said, shown):
    assert as_options(said) == shown


PLACES = [
    ("inspect", "ODD"),
    ("run", "ODD", "x"),
    ("run", "PACKAGE", "x", "--base", "ODD"),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK, "--schema", "@ODD"),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK, "--grammar", "ODD"),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK, "--template", "ODD"),
    ("run", "PACKAGE", "x", "--base", "BASE", *QUICK, "--device", "ODD"),
    ("convert", "PACKAGE", "--base", "BASE", "--float-weights", "ODD"),
    ("convert", "PACKAGE", "--base", "BASE", "--output", "ODD"),
    ("verify-conversion", "PACKAGE", "--base", "BASE", "--prompts", "ODD"),
    ("batch", "PACKAGE", "ODD", "--base", "BASE"),
    ("chat", "PACKAGE", "--base", "BASE", "--expert", "ODD"),
    ("grammar", "check", "ODD"),
    ("grammar", "test", "json", "@ODD"),
    ("grammar", "repair", "json", "--output", "ODD"),
    ("grammar", "show", "ODD"),
    ("route", "x", "ODD"),
    ("route", "x", "a=ODD"),
    ("estimate", "PACKAGE", "--base", "ODD"),
    ("doctor", "--base", "ODD"),
    ("--cache-dir", "ODD", "inspect", "PACKAGE"),
    ("--cache-dir", "ODD", "cache", "list"),
    ("ODD",),
]


ODD = {"long": LONG, "long name": f"{'b' * 300}/{'c' * 300}", "nobody": NOBODY, "nul": "a\0b"}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("arguments", PLACES, ids=" ".join)
def test_a_path_that_can_be_none_is_an_ordinary_error(
    tool, tiny_package, tiny_base, monkeypatch, tmp_path, arguments, odd
):
    monkeypatch.chdir(tmp_path)
    places = {"PACKAGE": str(tiny_package()), "BASE": str(tiny_base)}
    given = [places.get(str(a), str(a)).replace("ODD", odd) for a in arguments]
    code, _, err = tool(*given)
    if odd == NOBODY and ("--output" in arguments or arguments[:1] == ("--cache-dir",)):
        assert "defect" not in err
        return
    assert code in (1, 2)
    assert "Error" in err
    assert "defect" not in err
    assert len(err) < 8_000


@pytest.mark.parametrize("variable", ["HIVELLM_HOME", "HIVELLM_MODELS", "HIVELLM_BASES", "HF_HOME"])
@pytest.mark.parametrize("odd", [LONG, NOBODY], ids=["long", "nobody"])
def test_a_variable_that_names_no_path_is_an_ordinary_error(
    tool, tiny_package, monkeypatch, variable, odd
):
    monkeypatch.setenv(variable, odd)
    code, _, err = tool("run", tiny_package(), "x")
    assert code == 1
    assert "defect" not in err
    assert len(err) < 8_000


def test_the_library_raises_its_own_errors_for_such_paths(tiny_package, tiny_base):
    for path in (NOBODY, LONG, "a\0b"):
        with pytest.raises(LoadError):
            Expert.load(path, base=tiny_base)
        with pytest.raises(LoadError):
            Expert.load(tiny_package(), base=path)
    with pytest.raises(LoadError, match="without '~'"):
        user_path(NOBODY)
    from pathlib import Path

    assert not path_exists(Path(LONG))
    assert not path_exists(Path("a\0b"))


@pytest.mark.skipif(sys.platform != "linux", reason="uses setpriv")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="has no setpriv")
class TestPermissions:
    @pytest.fixture
    def unprivileged(self):
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]

        def run(*arguments: object, **environment: str):
            done = subprocess.run(
                [
                    *(drop if os.geteuid() == 0 else []),
                    *(sys.executable, "-m", "hivellm_lite", *map(str, arguments)),
                ],
                capture_output=True,
                env={**os.environ, **environment},
                timeout=60,
            )
            assert b"defect" not in done.stderr
            return done

        return run

    def test_that_hide_a_folder_are_told(self, unprivileged, tmp_path, tiny_package, tiny_base):
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        hidden.chmod(0)
        package = tiny_package()
        for arguments in (
            ("inspect", hidden / "x.expert"),
            ("run", package, "x", "--base", hidden / "b.gguf"),
            ("grammar", "check", hidden / "g"),
            ("batch", package, hidden / "l", "--base", tiny_base),
            ("convert", package, "--base", tiny_base, "--output", hidden / "o"),
        ):
            done = unprivileged(*arguments)
            assert done.returncode in (1, 2)
            assert b"Permission denied" in done.stderr
        done = unprivileged("run", package, "x", HIVELLM_MODELS=str(hidden))
        assert b"Permission denied" in done.stderr
        hidden.chmod(0o700)

    def test_of_a_cache_that_cannot_be_written_matter_only_for_what_is_new(
        self, unprivileged, tool, tiny_package, tiny_base, home
    ):
        package = tiny_package()
        given = ("run", package, "x", "--base", tiny_base, *QUICK)
        tool(*given)
        folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
        files = [path for path in home.rglob("*") if path.is_file()]
        for path in [*files, *folders]:
            path.chmod(path.stat().st_mode & 0o555)
        try:
            assert unprivileged(*given).returncode == 0
            done = unprivileged("inspect", tiny_package("other"))
            assert done.returncode == 1
            assert b"HIVELLM_HOME" in done.stderr
        finally:
            for path in [*folders, *files]:
                path.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="uses RLIMIT_FSIZE")
@pytest.mark.parametrize("limit", [100, 5_000, 25_000])
@pytest.mark.parametrize("what", ["package", "base"])
def test_a_full_disk_while_anything_is_written_is_an_ordinary_error(
    tiny_package, tiny_base, home, limit, what
):
    import resource

    base = tiny_base if what == "package" else FIXTURES / "models" / "tiny-llama"
    done = subprocess.run(
        [sys.executable, "-m", "hivellm_lite", "convert", str(tiny_package()), "--base", str(base)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "is full" in done.stderr
    assert "requested" not in done.stderr
    assert not list((home / "tmp").iterdir())


@needs_posix("a shell that closes files")
@pytest.mark.parametrize("redirection", ["<&-", "</dev/null"])
def test_a_stdin_that_is_closed_or_empty_is_no_defect(tiny_package, tiny_base, redirection):
    package = tiny_package()
    for arguments in (
        ("run", package, "-", "--base", tiny_base, *QUICK),
        ("chat", package, "--base", tiny_base, *QUICK),
        ("batch", package, "-", "--base", tiny_base, *QUICK),
        ("route", "-", package),
        ("grammar", "test", "json", "-"),
        ("run", package, "x", "--base", tiny_base, *QUICK, "--schema", "@-"),
    ):
        given = [sys.executable, "-m", "hivellm_lite", *map(str, arguments)]
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *given], capture_output=True, timeout=60
        )
        assert b"defect" not in done.stderr
        assert b"Traceback" not in done.stderr
