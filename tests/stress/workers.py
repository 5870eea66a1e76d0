"""What the threads of a stress run do, each over and over, drawing what comes next."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from hivellm_lite import ContextLengthError, Expert, GrammarError, InferenceError
from hivellm_lite.inference.opening import sessions

from .world import GREEDY, LONG, WORDS, World

LONG_ANSWER = {**GREEDY, "max_tokens": LONG}
NO_TEXT = 'root ::= "<think>" [a-z ]{30} "</think>" [a-z]{3}'
"""A grammar whose answers show no text for many tokens."""

CHILD_LIMIT = 60
"""Seconds after which a forked child or a program is taken to hang."""

ENDINGS = (
    "sys.exit(0)",
    "threading.Thread(target=lambda: e.generate('x', **long), daemon=True).start()",
    "s = e.generate_stream('x', **long); next(s)",
    "asyncio.run(first(e.agenerate_stream('x', **long)))",
    "threading.Thread(target=load, daemon=True).start()",
    "s = e.generate_stream('x', **long); next(s); del s; gc.collect()",
    "raise SystemExit(0)",
    "threading.Thread(target=lambda: e.generate('x', **long)).start(); e.close()",
)
"""How programs end in the middle of something."""

PROGRAM = """
import asyncio, faulthandler, gc, sys, threading, time
from hivellm_lite import Expert
faulthandler.enable()
long = {long!r}
async def first(stream):
    async for piece in stream:
        return piece
def load():
    while True:
        Expert.load({package!r}, base={base!r}, n_ctx=256, own_context=True).close()
e = Expert.load({package!r}, base={base!r}, n_ctx=512, n_threads=1, adapter_mode="lora")
threading.Timer(0.0, lambda: None).start()
{ending}
time.sleep({pause})
"""


class Own:
    """A user's object whose finalizer uses the library, on whatever thread the collector runs."""

    def __init__(self, world: World, expert: Expert) -> None:
        self.world, self.expert, self.me = world, expert, self

    def __del__(self) -> None:
        try:
            self.expert.generate("x", **GREEDY)
        except InferenceError:  # closed, or on the thread that computes
            self.world.counts["refused in a finalizer"] += 1
        self.expert.close()


def ask(world: World, draw: random.Random) -> None:
    name, word = world.pick(draw)
    world.check(name, word, world.manager.generate(name, word, **GREEDY).text)


def read(world: World, draw: random.Random) -> None:
    name, word = world.pick(draw)
    stream = world.manager.generate_stream(name, word, **GREEDY)
    pieces = []
    for piece in stream:
        pieces.append(piece)
        if draw.random() < 0.1:
            time.sleep(0.01)
    world.check(name, word, "".join(pieces))


def leave(world: World, draw: random.Random) -> None:
    """Leave a stream early: dropped, dropped in a cycle, closed, closed elsewhere, kept."""
    name, word = world.pick(draw)
    stream = world.manager.generate_stream(name, word, **LONG_ANSWER)
    for _ in range(draw.randint(0, 3)):
        next(stream, None)
    how = draw.choice(("drop", "cycle", "close", "elsewhere", "keep", "error"))
    if how == "cycle":
        rubbish: list[object] = [stream]
        rubbish.append(rubbish)
    elif how == "close":
        stream.close()
    elif how == "elsewhere":
        thread = threading.Thread(target=stream.close)
        thread.start()
        for _ in stream:
            pass
        thread.join()
    elif how == "keep":
        world.kept.append(stream)
        if len(world.kept) > 6:
            world.kept.pop(0)
    elif how == "error":
        try:
            with stream:
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass


def silent(world: World, draw: random.Random) -> None:
    """Answers that show nothing for long: a thought, a stop sequence that only begins to match."""
    name, word = world.pick(draw)
    if draw.random() < 0.5:
        from hivellm_lite import Grammar

        options = {**GREEDY, "grammar": Grammar.parse(NO_TEXT), "max_tokens": 60}
        text = "".join(world.manager.generate_stream(name, word, **options))
        if not text.isalpha():
            world.wrong.append(f"after a thought came {text!r}")
    else:
        expected = world.answers[name, word]
        options = {**GREEDY, "stop": [expected[1:] + "NEVER"]}
        text = "".join(world.manager.generate_stream(name, word, **options))
        world.check(name, word, text)


def batch(world: World, draw: random.Random) -> None:
    name, _ = world.pick(draw)
    asked = [draw.choice(WORDS) for _ in range(draw.randint(1, 8))]
    prompts: list[object] = [*asked, {"prompt": "x", "timeout": 1e-4, "max_tokens": LONG}]
    prompts.append({"prompt": "word " * 600})
    results = world.manager.generate_batch(name, prompts, return_exceptions=True, **GREEDY)
    for word, result in zip(asked, results, strict=False):
        world.check(name, word, result.text)
    if not isinstance(results[-1], ContextLengthError):
        world.wrong.append(f"a prompt that is too long gave {results[-1]!r}")


def fail(world: World, draw: random.Random) -> None:
    """Requests that cannot be answered, and late ones."""
    name, word = world.pick(draw)
    try:
        schema = {"type": "string", "pattern": "(?=a)b" * draw.randint(1, 3)}
        world.manager.generate(name, word, json_schema=schema, max_tokens=4)
    except GrammarError:
        pass
    world.manager.generate(name, word, **{**LONG_ANSWER, "timeout": draw.uniform(1e-4, 0.1)})


def coroutines(world: World, draw: random.Random) -> None:
    asyncio.run(_coroutines(world, draw))


async def _coroutines(world: World, draw: random.Random) -> None:
    manager = world.manager

    async def one() -> None:
        name, word = world.pick(draw)
        kind = draw.choice(("ask", "stream", "leave", "close", "batch", "score", "schema"))
        if kind == "ask":
            world.check(name, word, (await manager.agenerate(name, word, **GREEDY)).text)
        elif kind == "stream":
            stream = manager.agenerate_stream(name, word, **GREEDY)
            world.check(name, word, "".join([piece async for piece in stream]))
        elif kind == "leave":
            async for _ in manager.agenerate_stream(name, word, **LONG_ANSWER):
                break
        elif kind == "close":
            async with manager.agenerate_stream(name, word, **LONG_ANSWER) as stream:
                await anext(stream, None)
        elif kind == "batch":
            for result in await manager.agenerate_batch(name, [word, word], **GREEDY):
                world.check(name, word, result.text)
        elif kind == "score":
            assert await manager.ascore(name, word, "yes")
        else:
            schema = {"enum": [f"{draw.random()}-{n}" for n in range(40)]}
            await manager.agenerate(name, word, json_schema=schema, max_tokens=40)

    tasks = [asyncio.create_task(one()) for _ in range(8)]
    for task in tasks:
        if draw.random() < 0.3:
            await asyncio.sleep(draw.random() * 0.05)
            task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def load(world: World, draw: random.Random) -> None:
    """Experts that come and go, some dropped without being closed, some closed by a finalizer."""
    name = draw.choice(("a", "b", "e", "f"))
    options = {"n_ctx": 256, "n_threads": 1, "adapter_mode": "lora"}
    expert = Expert.load(
        world.packages[name], base=world.base, own_context=draw.random() < 0.5, **options
    )
    word = draw.choice(WORDS)
    stream = expert.generate_stream(word, **LONG_ANSWER)
    next(stream, None)
    if draw.random() < 0.3:
        own = Own(world, expert)
        del own, expert
        gc.collect()
    else:
        expert.close()
    for _ in stream:  # ends, since its expert was closed
        pass


def registry(world: World, draw: random.Random) -> None:
    """A name that comes and goes while others ask for it."""
    name = f"x{draw.randint(0, 3)}"
    manager = world.manager
    load = draw.choice((manager.load_expert, manager.register_expert))
    try:
        load(name, world.packages["b"], adapter_mode="lora")
        manager.generate(name, "one", **GREEDY)
        manager.unload_expert(name, force=True)
    except (ValueError, InferenceError):  # another thread has it, or has unloaded it
        pass
    manager.evict_idle(draw.random() / 4)
    manager.list_loaded_experts()
    manager.stats()


def collect(world: World, draw: random.Random) -> None:
    """Collect garbage here and on the threads that compute, where finalizers must not wait."""
    gc.collect()
    for session in list(sessions.values()):
        with contextlib.suppress(InferenceError):  # closed meanwhile
            session.scheduler.call(lambda: gc.collect(draw.randint(0, 2)))
        time.sleep(draw.random())


def fork(world: World, draw: random.Random) -> None:
    """A forked child asks an expert that it inherits, while all other threads go on."""
    name, word = draw.choice(("a", "b", "e")), draw.choice(WORDS)
    pid = os.fork()
    if pid == 0:
        import faulthandler

        # what the parent's other threads held is not to be trusted, so nothing is printed
        faulthandler.dump_traceback_later(CHILD_LIMIT, exit=True)
        code = 3
        try:
            text = world.manager.generate(name, word, **GREEDY).text
            code = 0 if text == world.answers[name, word] else 4
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if status:
        world.wrong.append(f"a forked child ended with status {status}")
    time.sleep(draw.random())


def programs(world: World, draw: random.Random) -> None:
    """Programs that end in the middle of something must end, and not by a signal."""
    ending = draw.choice(ENDINGS)
    program = PROGRAM.format(
        long=LONG_ANSWER,
        package=str(world.packages["a"]),
        base=str(world.base),
        ending=ending,
        pause=draw.random() * 0.2,
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], timeout=CHILD_LIMIT, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired as hung:
        world.wrong.append(f"a program hangs at its end: {ending}\n{hung.stderr!r}")
        return
    if done.returncode:
        world.wrong.append(f"a program ended with {done.returncode}: {ending}\n{done.stderr}")


WORKERS: dict[str, Callable[[World, random.Random], None]] = {
    "ask": ask,
    "read": read,
    "leave": leave,
    "leave too": leave,
    "silent": silent,
    "batch": batch,
    "fail": fail,
    "coroutines": coroutines,
    "load": load,
    "registry": registry,
    "collect": collect,
    "programs": programs,
}
if hasattr(os, "fork"):
    WORKERS["fork"] = fork
