"""The doctor reports a crash and does not suffer it."""

from __future__ import annotations

import json
import os
import sys

import pytest

from hivellm_lite import doctor
from hivellm_lite.cli import main

from .support.systems import needs_posix


def test_a_working_library_is_healthy(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert facts["healthy"]
    assert facts["decode"].startswith("works (33 tokens")
    assert "CPU" in [device["name"] for device in facts["devices"]]
    assert facts["advice"] == []


def test_a_model_that_cannot_be_decoded_is_reported_with_advice(tmp_path, capsys):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--base", str(broken)])
    out = capsys.readouterr().out
    assert ended.value.code == 1
    assert "not healthy" in out
    assert "exit status 1: " in out


@needs_posix("ends by a signal")
def test_a_library_that_kills_the_process_is_reported(tmp_path, monkeypatch):
    # A llama_cpp that dies as a build for another processor does.
    fake = tmp_path / "llama_cpp"
    fake.mkdir()
    (fake / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    report = doctor.examine()
    assert not report.healthy
    assert "died of SIGILL (an instruction that this processor" in report.decode
    assert "--no-cache-dir" in report.advice[0]


@pytest.mark.parametrize(
    ("code", "stderr", "words"),
    [
        (-9, "", "SIGKILL (killed from outside"),
        (-6, "", "SIGABRT (an internal check"),
        (-15, "", "SIGTERM (a signal)"),
        (0xC000001D, "", "status 0xC000001D (an instruction that this processor"),
        (0xC0000005, "", "status 0xC0000005 (an access to memory"),
        (3, "a\nlast line\n", "exit status 3: last line"),
        (3, "", "exit status 3: no message"),
    ],
)
def test_exit_statuses_are_put_into_words(code, stderr, words):
    assert words in doctor.describe_exit(code, stderr)
