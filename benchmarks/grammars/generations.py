"""Whole answers of a real model: with a grammar, without, and through llama-cpp-python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp

from hivellm_lite import Expert
from hivellm_lite.gbnf.library import grammar_text
from hivellm_lite.hardware import physical_cores
from hivellm_lite.inference.grammar_constraint import GrammarConstraint

from ..peft_parity import EXPERTS, questions
from ..table import median_ratio, show

RUNS = 3
QUESTIONS = 6
MAX_TOKENS = 64
BUDGET = 10.0
"""Seconds after which an answer of llama-cpp-python is not followed further."""
GRAMMARS = {"sql": "sql-postgres", "json": "json", "cypher": "cypher"}

ORDER = {
    "type": "object",
    "properties": {
        "customer_name": {"type": "string", "maxLength": 30},
        "delivery_address": {
            "type": "object",
            "properties": {
                "street_name": {"type": "string", "maxLength": 30},
                "house_number": {"type": "integer", "minimum": 1, "maximum": 999},
                "postal_code": {"type": "string", "pattern": "^[0-9]{5}$"},
            },
            "required": ["street_name", "house_number", "postal_code"],
            "additionalProperties": False,
        },
        "payment_method": {"enum": ["credit card", "invoice", "cash on delivery"]},
        "express_delivery": {"type": "boolean"},
        "total_price": {"type": "number", "minimum": 0, "maximum": 9999, "multipleOf": 0.01},
    },
    "required": [
        "customer_name",
        "delivery_address",
        "payment_method",
        "express_delivery",
        "total_price",
    ],
    "additionalProperties": False,
}
ORDERS = (
    "Ana Silva, Garden Street 12, 10115, pays 24.90 by invoice, no hurry.",
    "Send it express to Tom Baker in Mill Road 7, 94110. He paid 310.00 by credit card.",
    "Order of Li Wei: Harbour Lane 88, 20095, cash on delivery, 15.75, normal delivery.",
    "Eva Novak, Oak Avenue 3, 60311, express, 99.99, credit card.",
)


@contextmanager
def nothing_forced() -> Iterator[None]:
    """Every token is chosen from the model's logits."""
    forced = GrammarConstraint.forced
    GrammarConstraint.forced = lambda _: []  # type: ignore[method-assign]
    try:
        yield
    finally:
        GrammarConstraint.forced = forced  # type: ignore[method-assign]


class HighLevel:
    """llama-cpp-python's own class, with the same files, threads and prompt tokens."""

    def __init__(self, expert: Expert, grammar: str) -> None:
        assert expert.prepared.lora is not None
        self._llama = llama_cpp.Llama(
            str(expert.base.path),
            lora_path=str(expert.prepared.lora),
            n_ctx=2048,
            n_threads=physical_cores(),
            n_threads_batch=physical_cores(),
            verbose=False,
        )
        self._text = grammar_text(grammar)

    def seconds_per_token(self, prompt: list[int], n_tokens: int) -> float:
        """For all tokens but the first of a greedy answer, as far as the time goes."""
        grammar = llama_cpp.LlamaGrammar.from_string(self._text, verbose=False)
        started, n = 0.0, 0
        for token in self._llama.generate(prompt, temp=0.0, repeat_penalty=1.0, grammar=grammar):
            n += 1
            if n == 1:
                started = time.perf_counter()
            ended = llama_cpp.llama_vocab_is_eog(self._llama._model.vocab, token)
            if ended or n == n_tokens or time.perf_counter() - started > BUDGET:
                break
        return (time.perf_counter() - started) / max(1, n - 1)


def compare_ways(name: str, base: Path) -> list[tuple[str, ...]]:
    """Rows for one expert: free, under its grammar, and llama-cpp-python under it."""
    seconds: dict[str, list[float]] = {"free": [], "grammar": [], "forced": [], "llama": []}
    same = n_forced = n_tokens = 0
    with Expert.load(EXPERTS / f"{name}.expert", base=base, adapter_mode="lora") as expert:
        theirs = HighLevel(expert, GRAMMARS[name])
        for question, schema, _ in questions(name)[:QUESTIONS]:
            asked: dict[str, Any] = {
                "schema": schema,
                "temperature": 0.0,
                "max_tokens": MAX_TOKENS,
                "stop": ["\x00"],  # cannot occur: nothing ends early
            }
            prompt = expert.tokenize_prompt(question, schema=schema)
            for turn in range(RUNS + 1):
                free = expert.generate(question, grammar="off", **asked)
                with nothing_forced():
                    checked = expert.generate(question, grammar=GRAMMARS[name], **asked)
                forced = expert.generate(question, grammar=GRAMMARS[name], **asked)
                if turn:
                    for way, result in (("free", free), ("grammar", checked), ("forced", forced)):
                        seconds[way].append(1 / result.tokens_per_second)
            seconds["llama"].append(theirs.seconds_per_token(prompt, checked.completion_tokens))
            same += free.text == checked.text
            n_forced += forced.forced_tokens
            n_tokens += forced.completion_tokens
    labels = {
        "free": "no grammar",
        "grammar": f"{GRAMMARS[name]}, nothing forced; {same} of {QUESTIONS} answers the same",
        "forced": f"{GRAMMARS[name]}; {n_forced} of {n_tokens} tokens forced",
        "llama": f"{GRAMMARS[name]}, llama_cpp.Llama",
    }
    return [
        (
            label,
            f"{statistics.median(seconds[way]) * 1e3:.2f}",
            f"{1 / statistics.median(seconds[way]):.1f}",
            ratio(seconds, way),
        )
        for way, label in labels.items()
    ]


def ratio(seconds: dict[str, list[float]], way: str) -> str:
    """How many times as fast as without a grammar."""
    if way == "llama":  # has other runs
        found = statistics.median(seconds["free"]) / statistics.median(seconds[way])
    else:
        found = median_ratio(seconds[way], seconds["free"])
    return f"{found:.3f}"


def compare_forcing(base: Path) -> list[tuple[str, ...]]:
    """Rows for answers that follow a JSON schema, every token chosen or not."""
    speeds: dict[str, list[float]] = {"chosen": [], "forced": []}
    whole: dict[str, list[float]] = {"chosen": [], "forced": []}
    n_forced = n_tokens = same = 0
    with Expert.load(EXPERTS / "json.expert", base=base, adapter_mode="lora") as expert:
        for order in ORDERS:
            asked: dict[str, Any] = {"json_schema": ORDER, "temperature": 0.0, "max_tokens": 160}
            for turn in range(RUNS + 1):
                with nothing_forced():
                    chosen = expert.generate(order, **asked)
                forced = expert.generate(order, **asked)
                if turn:
                    for way, result in (("chosen", chosen), ("forced", forced)):
                        speed = result.tokens_per_second
                        speeds[way].append(speed)
                        whole[way].append((result.completion_tokens - 1) / speed)
            same += chosen.text == forced.text
            n_forced += forced.forced_tokens
            n_tokens += forced.completion_tokens
    labels = {
        "chosen": f"all chosen; {same} of {len(ORDERS)} answers the same",
        "forced": f"{n_forced} of {n_tokens} forced",
    }
    return [
        (
            label,
            f"{statistics.median(speeds[way]):.1f}",
            f"{median_ratio(speeds['chosen'], speeds[way]):.2f}",
            f"{statistics.median(whole[way]):.2f}",
            f"{median_ratio(whole[way], whole['chosen']):.2f}",
        )
        for way, label in labels.items()
    ]


def main(base: Path) -> None:
    for name in GRAMMARS:
        show(
            f"Answers of {name}, greedy, {physical_cores()} threads, "
            f"{RUNS} runs of {QUESTIONS} questions",
            ("", "ms/token (median)", "tokens/s", "speed against no grammar"),
            compare_ways(name, base),
        )
    show(
        f"A JSON schema, {RUNS} runs of {len(ORDERS)} answers",
        ("tokens", "tokens/s (median)", "×", "s/answer", "×"),
        compare_forcing(base),
    )
