"""Grammars and JSON schemas made to hang, crash or fill the memory: each is used or refused.

Every case runs in a child process with little memory and processor time. What comes
back must be ordinary: the case went through everything that an answer with it would
(read, checked, repaired, compiled, masks along a text), or it met a `GrammarError`.
A signal, an exhausted limit or an exception of another kind fails the test.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.checks import check_grammar
from hivellm_lite.gbnf.library import grammar_text, load_grammar
from hivellm_lite.gbnf.matcher import Automaton, compile_grammar
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.printer import print_grammar
from hivellm_lite.gbnf.repair import repair_grammar
from hivellm_lite.gbnf.syntax import Grammar
from hivellm_lite.gbnf.token_masks import TokenMasks
from hivellm_lite.json_schema import schema_of, schema_to_grammar

from ..gbnf.nasty_grammars import NASTY
from ..gbnf.sentences import mutate
from .grammars import GRAMMARS, SCHEMAS

resource = pytest.importorskip("resource")

MEMORY = 2 << 30
"""Bytes of address space; Python, numpy and this module take a few hundred million of them."""

CPU_SECONDS = 60.0
"""For one case, all steps together: far more than any needs, far less than for ever."""

WALL_SECONDS = 600
"""Until a child that neither computes nor answers is given up."""

STEPS = 12
"""Tokens taken along a text."""

PIECES = (
    [bytes([byte]) for byte in range(256)]
    + [b"", b"aa", b"ab", b"SELECT", b' "', b'":', b"true", b"aaaaaaaa", b"a" * 64]
    + ["é".encode(), "✓".encode()[:2], "✓".encode()[1:], "😀".encode()]
)


def mutations(seed: int) -> Iterator[str]:
    """Grammars with a few random changes: of shipped ones, and of ones with every trait."""
    random = Random(seed)
    seeds = [grammar_text("json"), grammar_text("iso"), *NASTY.values()]
    signs = ["(", ")*", "{2,900}", "{0,50}", '"', "[^", "]", "|", "root", " ::= ", "\n", ".", "?"]
    for _ in range(50):
        text = random.choice(seeds)
        for _ in range(random.randint(1, 3)):
            if random.random() < 0.5:
                place = random.randint(0, len(text))
                text = text[:place] + random.choice(signs) + text[place:]
            else:
                text = mutate(text, random)
        yield text


def huge_file() -> Path:
    with tempfile.NamedTemporaryFile(suffix=".gbnf", delete=False) as file:
        file.write(b'root ::= "')
        file.truncate(50 << 20)
    return Path(file.name)


FUZZED = [f"mutations {seed}" for seed in range(10, 16)]


def use_grammar(text: str | bytes) -> str:
    return use(parse_grammar(text))


def use_schema(value: Any) -> str:
    return use(schema_to_grammar(schema_of(value), allow_unenforced=True))


def use_file(path: Path) -> str:
    try:
        return use(load_grammar(path))
    finally:
        path.unlink()


def use_mutations(seed: str) -> str:
    verdicts = sorted({verdict(text) for text in mutations(int(seed.split()[1]))})
    return " and ".join(verdicts)


def verdict(text: str) -> str:
    try:
        return use_grammar(text)
    except GrammarError:
        return "refused"
    except BaseException:
        print(text, file=sys.stderr)
        raise


def use(grammar: Grammar) -> str:
    """All that is done with a grammar on the way to an answer; says "used" or raises."""
    problems = check_grammar(grammar)
    follow(compile_grammar(grammar))
    repaired = repair_grammar(grammar).grammar
    if repaired.rules != grammar.rules:
        follow(compile_grammar(repaired))
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert parse_grammar(print_grammar(repaired)).rules
    return "used"


def follow(automaton: Automaton) -> None:
    """Take tokens that the grammar allows, as an answer would."""
    masks = TokenMasks(PIECES)
    configuration = automaton.start
    random = Random(1)
    for _ in range(STEPS):
        legal = masks.mask(configuration).nonzero()[0]
        configuration.forced()
        if not legal.size:
            assert configuration.accepting
            break
        following = masks.step(configuration, int(random.choice(legal)))
        assert following is not None
        configuration = following


def spring(trap: str) -> str:
    """What must not happen in any case."""
    if trap == "crash":
        os.abort()
    if trap == "hang":
        while True:
            pass
    if trap == "fill the memory":
        return str(len(bytes(2 * MEMORY)))
    return str(spring(trap))


def run_case(kind: str, name: str) -> str:
    if kind == "grammar":
        return use_grammar(GRAMMARS[name]())
    if kind == "schema":
        return use_schema(SCHEMAS[name]())
    if kind == "file":
        return use_file(huge_file())
    return use_mutations(name) if kind == "mutations" else spring(name)


def work(connection: Connection) -> None:
    """Run the cases that come, and send what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.set_threshold(50_000, 20, 100)  # a quarter of the time would go into looking for cycles
    while True:
        kind, name, cpu_seconds = connection.recv()
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            outcome = run_case(kind, name)
        except GrammarError as error:
            outcome = f"refused: {error}"
        except BaseException:
            outcome = f"failed: {traceback.format_exc(limit=-12)}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(outcome.encode("utf-8", "surrogatepass"))


class Child:
    """A process for one case after another; a new one where the last one died."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None

    def run(self, kind: str, name: str, cpu_seconds: float = CPU_SECONDS) -> str:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._connection, other = context.Pipe()
            self._process = context.Process(target=work, args=(other,), daemon=True)
            self._process.start()
            other.close()
        self._connection.send((kind, name, cpu_seconds))
        try:
            if self._connection.poll(WALL_SECONDS):
                return str(self._connection.recv().decode("utf-8", "surrogatepass"))
            outcome = "no answer"
        except EOFError:
            self._process.join()
            outcome = f"the process ended with {self._process.exitcode}"
        self.close()
        return f"failed: {outcome}"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


def assert_refusal_is_readable(outcome: str) -> None:
    """A message for a person: a few lines, none of them endless, the first one alone enough."""
    lines = outcome.removeprefix("refused: ").split("\n")
    assert 1 <= len(lines) <= 12
    assert lines[0]
    assert max(map(len, lines)) < 500


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("grammar", name) for name in GRAMMARS),
        *(("schema", name) for name in SCHEMAS),
        ("file", "of 50 MB"),
    ],
)
def test_is_used_or_refused(child, kind, name):
    outcome = child.run(kind, name)
    if outcome != "used":
        assert outcome.startswith("refused: "), outcome
        assert_refusal_is_readable(outcome)


@pytest.mark.parametrize("name", FUZZED)
def test_random_changes_leave_a_grammar_that_is_used_or_refused(child, name):
    assert child.run("mutations", name) == "refused and used"


@pytest.mark.parametrize(
    ("trap", "seen"),
    [
        ("crash", f"the process ended with {-signal.SIGABRT}"),
        ("hang", f"the process ended with {-signal.SIGPROF}"),
        ("fill the memory", "MemoryError"),
        ("recur", "RecursionError"),
    ],
)
def test_what_must_not_happen_would_be_seen(child, trap, seen):
    outcome = child.run("trap", trap, cpu_seconds=0.5)
    assert outcome.startswith("failed: ")
    assert seen in outcome
