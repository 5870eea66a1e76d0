"""Messages stay readable, whatever a package puts into them."""

from __future__ import annotations

import pickle

import pytest

from hivellm_lite.errors import MAX_LINE, MAX_LINES, ExpertError, GrammarError, PackageError

from .support.manifests import problems
from .support.packages import manifest_v2


def test_an_ordinary_message_stays_as_it_is() -> None:
    message = "x.expert: no manifest.json\nIt holds: nothing\nGive another."
    assert str(PackageError(message)) == message


def test_a_long_line_loses_its_middle() -> None:
    message = str(PackageError(f"x: {'n' * 1_000_000} is no name\nRename it."))
    first, second = message.split("\n")
    assert first.startswith("x: nnn")
    assert first.endswith("nnn is no name")
    assert " … " in first
    assert len(first) <= MAX_LINE
    assert second == "Rename it."


def test_of_many_lines_the_first_and_the_last_stay() -> None:
    lines = str(ExpertError("\n".join(["found", *map(str, range(100_000)), "do this"]))).split("\n")
    assert len(lines) == MAX_LINES
    assert lines[:3] == ["found", "0", "1"]
    assert lines[-1] == "do this"
    assert "lines left out" in lines[-5]


def test_an_error_can_be_pickled_and_has_its_other_arguments() -> None:
    error = GrammarError("long " * 1_000, 5)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.args[1] == 5


@pytest.mark.parametrize(
    "manifest",
    [
        manifest_v2(integrity={"files": {"k" * 50_000: 1}}),
        manifest_v2(integrity={"files": {f"{'k' * 500}{i}": 1 for i in range(1_000)}}),
        manifest_v2(name="n" * 500_000),
        manifest_v2(capabilities=[1] * 5_000),
        manifest_v2(routing={"keywords": [["x" * 1_000]] * 500}),
    ],
    ids=["a key of 50 kB", "1,000 long keys", "a name of 500 kB", "5,000 numbers", "500 lists"],
)
def test_problems_of_a_manifest_fit_on_a_screen(manifest: dict[str, object]) -> None:
    lines = problems(manifest)
    assert len(lines) <= 22
    assert max(map(len, lines)) < 300
