"""Tests of the tests: what a failing one leaves behind fails no other."""

from __future__ import annotations

import re
import subprocess
import sys

from .support.paths import ROOT

FAILING = """
import os
import threading

import pytest
from hivellm_lite import Expert, ExpertManager
from hivellm_lite.inference.opening import models, sessions

OPTIONS = {"n_ctx": 256, "n_threads": 1}
ENDLESS = {"max_tokens": 200, "temperature": 0.0, "stop": []}
kept = []


def test_fails_with_an_expert(tiny_package, tiny_base):
    expert = Expert.load(tiny_package(), base=tiny_base, **OPTIONS)
    stream = expert.generate_stream("Hello", **ENDLESS)
    next(stream)
    assert expert is None


def test_fails_with_a_manager_that_something_else_holds(tiny_package, tiny_base):
    manager = ExpertManager(base=tiny_base, **OPTIONS)
    manager.load_expert("a", tiny_package())
    manager.generate("a", "Hello", max_tokens=2)
    kept.append(manager)
    os.environ["LEFT"] = "behind"
    raise ValueError(manager) from KeyError("cause")


def test_fails_while_threads_generate(tiny_package, tiny_base):
    expert = Expert.load(tiny_package(), base=tiny_base, own_context=True, **OPTIONS)
    begun = threading.Event()

    def ask():
        stream = expert.generate_stream("Hello", **ENDLESS)
        next(stream)
        begun.set()
        list(stream)

    thread = threading.Thread(target=ask)
    thread.start()
    begun.wait()
    assert 0.02 < 1e-4


def test_fails_in_its_set_up(expert, no_such_fixture):
    pass


@pytest.mark.parametrize("again", range(2))
def test_passes(again, expert, nothing_is_left):
    assert expert.generate("Hello", max_tokens=2).completion_tokens
    assert len(models) == len(sessions) == 1
    assert "LEFT" not in os.environ


def test_leaves_a_model_and_passes(tiny_package, tiny_base):
    kept.append(Expert.load(tiny_package(), base=tiny_base, **OPTIONS))


def test_finds_nothing_loaded(nothing_is_left):
    assert models == sessions == {}
    assert [thread for thread in threading.enumerate() if thread.name == "hivellm-lite"] == []
"""

MANAGED = """
import pytest
from hivellm_lite import ExpertManager


@pytest.fixture(scope="module")
def manager(tiny_base):
    with ExpertManager(base=tiny_base, n_ctx=256, n_threads=1) as manager:
        yield manager


def test_fails_with_what_the_modules_manager_loads(manager, tiny_package):
    manager.load_expert("a", tiny_package())
    assert manager is None


def test_finds_it_loaded(manager):
    assert manager.generate("a", "Hello", max_tokens=2).completion_tokens == 2
    assert manager.stats()["experts"]["resident"] == 1
"""


def test_what_a_failing_test_leaves_open_fails_no_other(tmp_path):
    package = tmp_path / "suite"
    package.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cpu(reason): …\n")
    (package / "test_failing.py").write_text(FAILING)
    (package / "test_managed.py").write_text(MANAGED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rA", "-n0", "--tb=short", "--color=no"),
            *("-p", "no:cacheprovider", "-p", "tests.conftest", "--rootdir", tmp_path),
            *("--basetemp", tmp_path / "temporary", "-c", tmp_path / "pytest.ini", package),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    outcomes = re.findall(r"^(FAILED|ERROR|PASSED) \S+::(\w+)", done.stdout, re.MULTILINE)
    assert sorted(outcomes) == [
        ("ERROR", "test_fails_in_its_set_up"),
        ("ERROR", "test_leaves_a_model_and_passes"),
        ("FAILED", "test_fails_while_threads_generate"),
        ("FAILED", "test_fails_with_a_manager_that_something_else_holds"),
        ("FAILED", "test_fails_with_an_expert"),
        ("FAILED", "test_fails_with_what_the_modules_manager_loads"),
        ("PASSED", "test_finds_it_loaded"),
        ("PASSED", "test_finds_nothing_loaded"),
        ("PASSED", "test_leaves_a_model_and_passes"),
        *[("PASSED", "test_passes")] * 2,
    ], done.stdout[-6000:]
    assert re.search(r"leaves behind: the session of .*, the model .*tiny-llama", done.stdout)
