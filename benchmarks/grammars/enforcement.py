"""What enforcing a grammar costs for each token, the model left out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hivellm_lite.gbnf.matcher import Automaton, compile_grammar
from hivellm_lite.gbnf.printer import print_grammar
from hivellm_lite.gbnf.repair import repair_grammar
from hivellm_lite.gbnf.token_masks import TokenMasks
from hivellm_lite.inference.grammar_constraint import GrammarConstraint

from ..table import show
from .native import NativeTimes, Vocabulary, native_times
from .texts import Case, cases

RUNS = 5
BUDGET = 30.0
"""Seconds that llama.cpp gets for one text."""

MASKS = 20
"""Places of a text, all different to the grammar, at which the exact mask is computed."""


class Scripted:
    """Chooses the tokens of a text that is given."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: Iterator[int] = iter(tokens)

    def choose(self, _logits: object, allowed: object = None) -> int:
        assert allowed is None, "a token of the text was refused"
        return next(self._tokens)


def step_times(
    automaton: Automaton, token_masks: TokenMasks, model: Vocabulary, tokens: list[int]
) -> list[float]:
    """Seconds for each token: chosen, checked, accepted."""
    constraint = GrammarConstraint(automaton.start, token_masks, model)
    sampler = Scripted(tokens)
    seconds = []
    for _ in tokens:
        started = time.perf_counter()
        constraint.accept(constraint.choose(sampler, None))
        seconds.append(time.perf_counter() - started)
    return seconds


def forced_times(
    automaton: Automaton, token_masks: TokenMasks, model: Vocabulary, tokens: list[int]
) -> list[float]:
    """Seconds for each token to look for text that must follow it."""
    constraint = GrammarConstraint(automaton.start, token_masks, model)
    seconds = []
    for token in tokens:
        constraint.accept(token)
        started = time.perf_counter()
        constraint.forced()
        seconds.append(time.perf_counter() - started)
    return seconds


def mask_times(automaton: Automaton, token_masks: TokenMasks, tokens: list[int]) -> list[float]:
    """Seconds for the exact mask at some places of a text, nothing of it known before."""
    configuration = automaton.start
    seconds = []
    seen = set()
    for token in tokens:
        if configuration not in seen and len(seen) < MASKS:
            seen.add(configuration)
            started = time.perf_counter()
            token_masks.mask(configuration)
            seconds.append(time.perf_counter() - started)
        following = token_masks.step(configuration, token)
        assert following is not None
        configuration = following
    return seconds


def measure(case: Case, model: Vocabulary, token_masks: TokenMasks) -> tuple[list[str], ...]:
    """A row for what we do, and one for what llama.cpp does."""
    tokens = model.tokenize(case.text)
    cold, warm, forced, masks = [], [], [], []
    for _ in range(RUNS):
        automaton = compile_grammar(case.grammar)
        cold += step_times(automaton, token_masks, model, tokens)
        warm += step_times(automaton, token_masks, model, tokens)
        forced += forced_times(compile_grammar(case.grammar), token_masks, model, tokens)
    for _ in range(3):
        masks += mask_times(compile_grammar(case.grammar), token_masks, tokens)
    # llama.cpp reads what it takes as it stands, and the same language repaired otherwise
    note = ""
    source = print_grammar(case.grammar)
    one = native_times(model, source, tokens, whole_mask=False, budget=BUDGET)
    if one is None:
        note = "repaired"
        source = print_grammar(repair_grammar(case.grammar).grammar)
        one = native_times(model, source, tokens, whole_mask=False, budget=BUDGET)
    whole = native_times(model, source, tokens, whole_mask=True, budget=BUDGET)
    own = [case.name, str(len(tokens)), *map(microseconds, (cold, warm, forced, masks))]
    return own, [case.name, note, *native(one, cold), *native(whole, cold)]


def microseconds(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1e6:,.0f} / {np.percentile(seconds, 99) * 1e6:,.0f}"


def native(times: NativeTimes | None, ours: Sequence[float]) -> tuple[str, str]:
    """Median and p99 in µs, and how many times the median of ours that is."""
    if times is None:
        return "refused", ""
    ratio = statistics.median(times.seconds) / statistics.median(ours)
    cut = f"; given up at token {len(times.seconds)}" if times.cut else ""
    return f"{microseconds(times.seconds)}{cut}", f"{ratio:,.1f}"


def main(vocab: Path, more_json: list[Path], more_sql: list[Path]) -> None:
    model = Vocabulary(vocab)
    token_masks = TokenMasks(model.pieces)
    token_masks.mask(compile_grammar(cases([], [])[0].grammar).start)  # builds its tables
    rows = [measure(case, model, token_masks) for case in cases(more_json, more_sql)]
    show(
        f"Enforcement on {model.n_tokens:,} tokens, µs a token, median / p99",
        ("grammar", "tokens", "first time", "seen before", "forced text", "exact mask"),
        [own for own, _ in rows],
    )
    show(
        "llama.cpp on the same texts, and its median as a multiple of our first time",
        ("grammar", "", "chosen token alone", "×", "all tokens", "×"),
        [theirs for _, theirs in rows],
    )
