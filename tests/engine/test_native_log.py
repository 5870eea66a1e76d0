"""What llama.cpp logs, and how it ends the process."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading

import pytest

from hivellm_lite.engine import Context, ContextOptions, InterruptedDecodeError, Model, Row
from hivellm_lite.engine.native import fresh_log, on_log, reason


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


ABORTS = """
import ctypes, threading
from hivellm_lite.engine.native import llama, start
start()
abort = llama._lib.ggml_abort
barrier = threading.Barrier(4)
def fail():
    barrier.wait()
    abort(b"made-up.c", 7, b"nothing is true")
threads = [threading.Thread(target=fail) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signals as on Linux")
def test_an_assertion_of_llama_cpp_ends_the_process_at_once_with_its_line():
    done = run(ABORTS)
    assert done.returncode == -signal.SIGABRT
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("made-up.c:7: nothing is true") for line in lines)


def test_the_environment_is_as_it_was():
    code = "import os; before = dict(os.environ); import hivellm_lite.engine; "
    code += "import ctypes; c = ctypes.CDLL(None); c.getenv.restype = ctypes.c_char_p; "
    code += "print(before == dict(os.environ), c.getenv(b'GGML_NO_BACKTRACE'))"
    assert run(code).stdout.split() == ["True", "None"]


def test_an_interrupted_decode_is_not_logged_and_a_failed_one_is(tiny_model, caplog):
    context = Context(tiny_model, ContextOptions(n_ctx=256, n_threads=1))
    caplog.set_level(logging.DEBUG, "hivellm_lite")
    context.interrupt()
    with pytest.raises(InterruptedDecodeError):
        context.decode([Row(0, 0, [1, 2, 3])])
    context.resume()
    assert caplog.records == []
    with pytest.raises(Exception, match=r"llama.cpp:.*invalid token"):
        context.decode([Row(0, 0, [1 << 30])])
    assert [r for r in caplog.records if "invalid token" in r.message]
    context.close()


def test_reasons_of_two_threads_are_kept_apart(tiny_base, tmp_path):
    found = {}
    barrier = threading.Barrier(2)

    def call(name):
        with fresh_log():
            barrier.wait()
            for _ in range(50):
                on_log(4, name.encode(), None)
            barrier.wait()
        found[name] = reason()

    threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"one": "llama.cpp: one", "two": "llama.cpp: two"}


def test_the_log_is_silent_in_a_process_that_ends(tiny_base):
    code = """
import atexit
from hivellm_lite.engine.native import log_nothing, llama, start
start()
log_nothing()
import ctypes
from pathlib import Path
llama.llama_model_load_from_file(b"/nonexistent.gguf", llama.llama_model_default_params())
print("ended")
"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


def test_the_log_of_a_model_is_kept_where_somebody_wants_it_and_nowhere_else(tiny_base, caplog):
    with caplog.at_level(logging.DEBUG, "hivellm_lite"):
        Model(tiny_base).close()
    assert any("loaded meta data" in record.getMessage() for record in caplog.records)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hivellm_lite"):
        Model(tiny_base).close()
        assert not on_log_lines()
    assert caplog.records == []


def on_log_lines() -> list[str]:
    with fresh_log():
        return [reason()] if "no reason" not in reason() else []
