"""Packages on the Hub: every command that takes a package takes a repository."""

from __future__ import annotations

import pytest

from ..support.packages import grammar_package

SUM = 'root ::= root "+" [0-9] | [0-9]\n'
SMALL = ("--n-ctx", 64, "--n-threads", 1, "--max-tokens", 2)

COMMANDS = {
    "run": ("run", "PACKAGE", "Hello", *SMALL, "--base", "BASE"),
    "chat": ("chat", "PACKAGE", *SMALL, "--base", "BASE"),
    "batch": ("batch", "PACKAGE", "-", *SMALL, "--base", "BASE"),
    "route": ("route", "Hello", "PACKAGE", "other=PACKAGE"),
    "inspect": ("inspect", "PACKAGE"),
    "grammar check": ("grammar", "check", "PACKAGE"),
    "grammar repair": ("grammar", "repair", "PACKAGE"),
    "grammar test": ("grammar", "test", "PACKAGE", "1+2"),
    "convert": ("convert", "PACKAGE", "--base", "BASE"),
    "estimate": ("estimate", "PACKAGE", "--n-ctx", 64, "--base", "BASE"),
    "bench": ("bench", "PACKAGE", "--tokens", 2, "--seconds", 0, "--base", "BASE"),
}
"""Each command with its arguments. PACKAGE and BASE stand for the package and the base."""


@pytest.fixture
def package(tmp_path) -> bytes:
    return grammar_package(tmp_path / "sums.expert", SUM).read_bytes()


def filled(command: str, package: str, base: object) -> list[object]:
    """The command line of ``command``, with its placeholders filled in."""
    places = {"PACKAGE": package, "other=PACKAGE": f"other={package}", "BASE": base}
    return [places.get(str(word), word) for word in COMMANDS[command]]


@pytest.fixture(autouse=True)
def _nothing_on_standard_input(monkeypatch, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    with empty.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield


@pytest.mark.parametrize("command", COMMANDS)
def test_a_package_is_fetched_once_and_found_offline_from_then_on(
    tool, server, package, tiny_base, command
):
    server.add("me/sums", {"sums.expert": package})
    code, _, err = tool(*filled(command, "me/sums", tiny_base))
    assert code == 0, err
    assert [asked.storage for asked in server.downloads("sums.expert")] == [False, True]
    asked = len(server.asked)
    code, _, err = tool(*filled(command, "me/sums", tiny_base), "--offline")
    assert code == 0, err
    assert len(server.asked) == asked


@pytest.mark.parametrize("command", COMMANDS)
def test_offline_a_package_that_was_never_fetched_is_an_error(
    tool, server, package, tiny_base, command
):
    server.add("me/sums", {"sums.expert": package})
    code, out, err = tool(*filled(command, "me/sums", tiny_base), "--offline")
    assert (code, out) == (1, "")
    assert "me/sums: no such file or folder here, and on the Hub:" in err
    assert "offline" in err
    assert server.asked == []


@pytest.mark.parametrize("command", ["inspect", "grammar check"])
def test_a_revision_and_a_file_can_be_named(tool, server, package, tiny_base, command):
    repository = server.add("me/all", {"sums.expert": package, "other.expert": b"no archive"})
    one = f"me/all@{repository.commit}:sums.expert"
    assert tool(*filled(command, one, tiny_base))[0] == 0
    assert server.downloads("other.expert") == []
    code, _, err = tool(*filled(command, "me/all", tiny_base))
    assert code == 1
    assert "holds several packages; name one:" in err


def test_a_grammar_file_that_is_missing_is_not_looked_for_on_the_hub(tool, server):
    code, _, err = tool("grammar", "check", "grammars/none.gbnf")
    assert code == 1
    assert "grammars/none.gbnf" in err
    assert server.asked == []


def test_a_grammar_file_that_exists_is_never_looked_for_on_the_hub(
    tool, server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "sums").write_text(SUM)
    assert tool("grammar", "check", "me/sums")[0] == 0
    assert server.asked == []
