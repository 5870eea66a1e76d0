"""``hivellm-lite bench``: how quick an expert is on this machine."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..expert import Expert, checked, loaded_of
from ..hardware import physical_cores
from ..inference.batches import run_batch
from ..inference.results import InferenceResult
from ..inference.submissions import Prepared
from .options import json_option, load_arguments, model_options, package_argument, progress_bar
from .output import print_json, print_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Model, Sampler
    from ..inference.decoding import Request
    from ..progress import Progress
from .package_type import PackageType

__all__ = ["bench"]

BATCHES = (1, 2, 4, 8, 16)

PROMPT_TOKENS = 256
"""Length of the prompt whose speed is measured: half of llama.cpp's batch of 512."""

NEW_TOKENS = 16
"""New tokens of a prompt with a cached beginning, and length of the prompts asked together."""

REPEATS = 3
"""Measurements of whatever is quick; the median is shown."""

_FILLER = "Order {} was sent. "


@click.command()
@package_argument
@click.argument("other", required=False, type=PackageType())
@click.option(
    "--tokens",
    type=click.IntRange(2, 1024),
    default=32,
    show_default=True,
    help="Length of each answer.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Leave out larger batches once this much time has passed.",
)
@model_options
@json_option
@click.pass_obj
def bench(
    settings: dict[str, Any],
    /,
    package: str,
    other: str | None,
    tokens: int,
    seconds: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the expert in PACKAGE on this machine; with OTHER, swapping between the two.

    Loading, prompt and answer speed, the first token after a prompt whose beginning is
    cached, and answers computed together. Answers have --tokens tokens whatever the
    expert would say: the end of an answer is not allowed before. Grammars are off.
    """
    deadline = time.perf_counter() + seconds
    arguments = load_arguments(settings, options)
    arguments["max_streams"] = max(BATCHES)
    with progress_bar() as progress:
        first = Expert.load(package, **arguments, progress=progress)
        load = dataclasses.asdict(first.load_times) | {"total": first.load_times.total}
        first.close()
        with Expert.load(package, **arguments) as expert:
            facts: dict[str, Any] = {
                **_setting(expert),
                "load": {"first": load, "again": expert.load_times.total},
                **_speeds(expert, tokens, progress),
                "batches": _batches(expert, tokens, deadline, progress),
            }
            if other is not None:
                with Expert.load(other, **arguments, progress=progress) as second:
                    facts["swap"] = _swap(expert, second)
    if as_json:
        print_json(facts)
    else:
        for label, text in _lines(facts):
            print_line(f"{label:<12} {text}")


def _setting(expert: Expert) -> dict[str, Any]:
    from ..engine import OPENMP_SETTINGS, library_version  # loads llama.cpp

    session = expert.session
    context = session.scheduler.context_options
    return {
        "expert": expert.manifest.identity,
        "form": expert.prepared.form,
        "base": expert.base.path.name,
        "weights_bytes": session.model.size,
        "device": session.model.device,
        "threads": context.n_threads or physical_cores(),
        "openmp": dict(OPENMP_SETTINGS),
        "n_ctx": session.n_ctx,
        "kv_type": context.kv_type,
        "flash_attention": context.flash_attention,
        "llama_cpp": library_version(),
    }


# --- requests ----------------------------------------------------------------------------


class _EndlessAnswer:
    """A `TokenConstraint` that allows every token but those that end an answer."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def finished(self) -> bool:
        """Never."""
        return False

    def choose(self, sampler: Sampler, logits: NDArray[np.float32]) -> int:
        token = sampler.choose(logits)
        if not self._model.is_end(token):
            return token
        allowed = np.ones(len(logits), bool)
        allowed[self._model.end_tokens] = False
        return sampler.choose(logits, allowed)

    def accept(self, token: int) -> None:
        pass

    def forced(self) -> list[int]:
        return []

    def prepare(self) -> None:
        pass


class _Prompts:
    """Makes requests of one expert: greedy, of a fixed length."""

    def __init__(self, expert: Expert) -> None:
        self._expert = expert
        self._n_made = 0
        self._long = min(PROMPT_TOKENS, expert.session.n_ctx // 2)

    def long(self, max_tokens: int) -> Request:
        """A prompt of `PROMPT_TOKENS` that begins like no other."""
        return self._request(self._long, max_tokens)

    def short(self, max_tokens: int) -> Request:
        """A prompt of `NEW_TOKENS` that begins like no other."""
        return self._request(NEW_TOKENS, max_tokens)

    def continued(self, request: Request, max_tokens: int) -> Request:
        """Another prompt that differs in the last `NEW_TOKENS`."""
        tail = [token for token in self.short(1).prompt if token >= 0]  # no soft prompt
        return dataclasses.replace(
            request, prompt=request.prompt[: -len(tail)] + tail, max_tokens=max_tokens
        )

    def _request(self, n_prompt: int, max_tokens: int) -> Request:
        self._n_made += 1
        model = self._expert.session.model
        text = f"{self._n_made}: " + "".join(_FILLER.format(i) for i in range(n_prompt // 4))
        request = loaded_of(self._expert).request("", temperature=0.0, grammar="off")
        return dataclasses.replace(
            request,
            # without the template, whose beginning would be cached
            prompt=model.tokenize(text)[:n_prompt],
            max_tokens=max_tokens,
            literal_stops=(),
            balanced_stops=(),
            constraint=lambda: _EndlessAnswer(model),
        )


def _ask(expert: Expert, *requests: Request) -> list[InferenceResult]:
    outcomes = checked(run_batch(Prepared(expert.session, requests)), return_exceptions=False)
    return [outcome for outcome in outcomes if isinstance(outcome, InferenceResult)]


# --- measuring ---------------------------------------------------------------------------


def _speeds(expert: Expert, n_tokens: int, progress: Progress) -> dict[str, Any]:
    """Tokens per second of prompts and answers, seconds to the first token."""
    prompts = _Prompts(expert)
    cold: list[InferenceResult] = []
    warm: list[InferenceResult] = []
    for turn in range(REPEATS + 1):
        progress("Measuring prompts and answers", turn, REPEATS + 1)
        request = prompts.long(n_tokens)
        results = [*_ask(expert, request), *_ask(expert, prompts.continued(request, 1))]
        if turn:  # the first one finds memory that was never touched
            cold.append(results[0])
            warm.append(results[1])
    return {
        "prompt_tokens": cold[0].prompt_tokens,
        "prompt_tokens_per_second": _median(r.prompt_tokens_per_second for r in cold),
        "answer_tokens": cold[0].completion_tokens,
        "answer_tokens_per_second": _median(r.tokens_per_second for r in cold),
        "first_token_seconds": _median(r.time_to_first_token for r in cold),
        "cached_prompt_tokens": warm[0].cached_prompt_tokens,
        "first_token_seconds_cached": _median(r.time_to_first_token for r in warm),
    }


def _batches(
    expert: Expert, n_tokens: int, deadline: float, progress: Progress
) -> list[dict[str, Any]]:
    """Tokens per second of all answers together, for each size that the time allows."""
    prompts = _Prompts(expert)
    measured: list[dict[str, Any]] = []
    for done, size in enumerate(BATCHES):
        progress("Measuring answers together", done, len(BATCHES))
        expected = size * n_tokens / measured[-1]["tokens_per_second"] if measured else 0.0
        if time.perf_counter() + expected > deadline:
            break
        requests = [prompts.short(n_tokens) for _ in range(size)]
        started = time.perf_counter()
        n_answered = sum(result.completion_tokens for result in _ask(expert, *requests))
        seconds = time.perf_counter() - started
        measured.append({"size": size, "tokens_per_second": n_answered / seconds})
    return measured


def _swap(expert: Expert, other: Expert) -> dict[str, Any]:
    """Seconds to the first token of two experts that take turns, all but `NEW_TOKENS` of
    their prompts cached; and of one that is asked twice.
    """
    pairs = [(one, _Prompts(one)) for one in (expert, other)]
    begun = [(one, prompts, prompts.long(1)) for one, prompts in pairs]
    for one, _, request in begun:
        _ask(one, request)
    swapped: list[float] = []
    stayed: list[float] = []
    for _ in range(REPEATS):
        for one, prompts, request in begun:
            for times in (swapped, stayed):
                (result,) = _ask(one, prompts.continued(request, 1))
                times.append(result.time_to_first_token)
    return {
        "other": other.manifest.identity,
        "first_token_seconds": _median(swapped),
        "first_token_seconds_without": _median(stayed),
    }


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


# --- showing -----------------------------------------------------------------------------


_FLASH_ATTENTION = {None: "as llama.cpp chooses", True: "on", False: "off"}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    load, first = facts["load"], facts["load"]["first"]
    converted = [part for part in ("base", "adapter") if first[f"{part}_converted"]]
    how = f" ({' and '.join(converted)} converted)" if converted else ""
    cached, prompt = facts["cached_prompt_tokens"], facts["prompt_tokens"]
    openmp = " ".join(f"{name}={value}" for name, value in facts["openmp"].items())
    lines = [
        ("expert", f"{facts['expert']}, {facts['form']}"),
        ("base", f"{facts['base']}, {facts['weights_bytes'] / 1e6:.1f} MB"),
        (
            "settings",
            f"device {facts['device']}, {facts['threads']} threads, "
            f"{openmp}, n_ctx {facts['n_ctx']}, KV cache {facts['kv_type']}, "
            f"flash attention {_FLASH_ATTENTION[facts['flash_attention']]}",
        ),
        ("llama.cpp", str(facts["llama_cpp"])),
        ("load", f"first {first['total']:.2f} s{how}, again {load['again']:.2f} s"),
        ("prompt", f"{prompt} tokens at {facts['prompt_tokens_per_second']:.0f}/s"),
        ("answer", f"{facts['answer_tokens']} tokens at {facts['answer_tokens_per_second']:.1f}/s"),
        (
            "first token",
            f"after {facts['first_token_seconds']:.2f} s, with {cached} of {prompt} prompt tokens "
            f"cached {facts['first_token_seconds_cached']:.2f} s",
        ),
    ]
    lines += [
        (
            "together" if batch["size"] == 1 else "",
            f"{batch['size']:>2} answers at {batch['tokens_per_second']:6.1f} tokens/s",
        )
        for batch in facts["batches"]
    ]
    if left := BATCHES[len(facts["batches"]) :]:
        lines.append(("left out", f"{', '.join(map(str, left))} together: --seconds is too short"))
    if swap := facts.get("swap"):
        lines.append(
            (
                "swap",
                f"with {swap['other']}: first token after {swap['first_token_seconds']:.2f} s, "
                f"without {swap['first_token_seconds_without']:.2f} s",
            )
        )
    return lines
