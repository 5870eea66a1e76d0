"""Programs that end or fork in the middle of something: they end, by no signal, and answer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..support.devices import CHILDREN

BEGIN = """
import asyncio, atexit, faulthandler, gc, multiprocessing, os, sys, threading, time
from hivellm_lite import Expert, ExpertManager, InferenceError
package, base = sys.argv[1:]
greedy = {"temperature": 0.0, "max_tokens": 12, "stop": [], "grammar": "off"}
endless = {**greedy, "max_tokens": 490}
expert = Expert.load(package, base=base, n_ctx=512, n_threads=1)
text = expert.generate("Hello", **greedy).text

def ask_for_ever():
    try:
        while True:
            expert.generate("Hello", **endless)
    except InferenceError:  # the program ends, or the expert was closed
        pass

def in_background(work=ask_for_ever):
    steps = expert.session.scheduler.counters.steps
    threading.Thread(target=work, daemon=True).start()
    while work is ask_for_ever and expert.session.scheduler.counters.steps < steps + 3:
        time.sleep(0.001)

def load_for_ever():
    try:
        while True:
            Expert.load(package, base=base, n_ctx=64, own_context=True).close()
    except InferenceError:  # the program ends
        pass

def in_children(check, n=4):
    # waits for each child; its watchdog ends it if it hangs
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            faulthandler.dump_traceback_later(60, exit=True)
            code = 9
            try:
                code = check() is not True
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0

def answers():
    return expert.generate("Hello", **greedy).text == text
"""

ENDINGS = {
    "while a daemon thread generates": "in_background()",
    "while a daemon thread loads": "in_background(load_for_ever); time.sleep(0.1)",
    "with a stream that was begun": "s = expert.generate_stream('x', **endless); next(s)",
    "with a bound next": "n = expert.generate_stream('x', **endless).__next__; n()",
    "in a reader's loop": "for _ in expert.generate_stream('x', **endless): sys.exit(0)",
    "with an async stream that was begun": """
async def first():
    async for piece in expert.agenerate_stream("x", **endless):
        return piece
asyncio.run(first())
""",
    "with a task that waits": """
async def main():
    task = asyncio.create_task(expert.agenerate("x", **endless))
    await asyncio.sleep(0.02)
asyncio.run(main())
""",
    "after an answer": "",
    "with a manager that is open": """
manager = ExpertManager(base=base, n_ctx=512)
manager.load_expert("a", package)
next(manager.generate_stream("a", "x", **endless))
""",
    "while a thread that is no daemon still asks": """
def later():
    time.sleep(0.3)
    for _ in range(3):
        assert answers()
    print("answered", flush=True)
threading.Thread(target=later).start()
""",
    "with a handler that still asks and one that closes": """
atexit.register(expert.close)
atexit.register(answers)
""",
    "with a handler older than the library's": """
@atexit.register
def late():
    try:
        answers()
    except InferenceError:
        print("refused", flush=True)
""",
    "while it is being closed": "in_background(); expert.close()",
}

FORKS = {
    "while nothing is computed": "in_children(answers)",
    "while another thread generates": "in_background(); in_children(answers)",
    "while another thread loads": "in_background(load_for_ever); in_children(answers)",
    "and load the expert in the child": """
in_background()
def load():
    with Expert.load(package, base=base, n_ctx=256, n_threads=1) as own:
        return own.generate("Hello", **greedy).text == text
in_children(load)
""",
    "with a manager": """
manager = ExpertManager(base=base, n_ctx=512, n_threads=1, max_loaded_experts=1)
manager.load_expert("a", package)
manager.load_expert("b", package)
threading.Thread(
    target=lambda: [manager.generate(n, "Hello", **endless) for n in "ab" * 1000], daemon=True
).start()
in_children(lambda: manager.generate("a", "Hello", **greedy).text == text)
""",
    "in the middle of a stream": """
stream = expert.generate_stream("Hello", **greedy)
first = next(stream)
def rest():
    try:
        list(stream)
    except InferenceError as error:
        return "before the process forked" in str(error) and answers()
in_children(rest)
assert first + "".join(stream) == text
""",
    "through multiprocessing": """
def ask(results):
    results.put(expert.generate("Hello", **greedy).text)
in_background()
context = multiprocessing.get_context("fork")
results = context.Queue()
children = [context.Process(target=ask, args=(results,)) for _ in range(3)]
for child in children:
    child.start()
assert [results.get(timeout=60) for _ in children] == [text] * 3
for child in children:
    child.join()
""",
    "in a child that ends as programs do": """
in_background()
pid = os.fork()
if pid == 0:
    faulthandler.dump_traceback_later(60, exit=True)
    sys.exit(not answers())
assert os.waitpid(pid, 0)[1] == 0
""",
}


@pytest.fixture
def run(tiny_package, tiny_base):
    """Run a program; one that hangs or ends by a signal fails."""

    def run(program: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", BEGIN + program, tiny_package(), tiny_base]
        done = subprocess.run(command, timeout=120, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    return run


class TestAProgramThatEnds:
    @pytest.mark.parametrize("how", ENDINGS)
    def test_ends_by_itself(self, run, how):
        done = run(ENDINGS[how])
        assert "Traceback" not in done.stderr
        if how == "while a thread that is no daemon still asks":
            assert done.stdout == "answered\n"

    def test_may_end_by_an_interrupt_in_a_readers_loop(self, run):
        done = run("""
try:
    for _ in expert.generate_stream("x", **endless):
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
""")
        assert done.stdout == "interrupted\n"


@pytest.mark.cpu(CHILDREN)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
class TestAProcessThatForks:
    @pytest.mark.parametrize("how", FORKS)
    def test_has_children_that_answer(self, run, how):
        run(FORKS[how])
