"""Tries models in child processes that may die: load, tokenize, one decode, for each a verdict.

``python -m tests.support.model_trials`` reads paths, one a line, and answers with a line of JSON
before and after each of them.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .paths import ROOT

__all__ = ["Verdict", "try_models"]

MEMORY_BYTES = 4 << 30
"""Address space of a child; the library and its threads take about 1.5 GB of it."""

SECONDS = 120
"""For one model; the machine may be busy."""

TEXT = "Hello wörld, 你好 \U0001f600\n\n\t 123 \x00<|im_start|>user<s></s>"


@dataclass(frozen=True)
class Verdict:
    """``kind`` is ``loaded``, the class of the error, ``signal`` or ``timeout``."""

    kind: str
    message: str = ""
    seconds: float = 0.0

    @property
    def is_orderly(self) -> bool:
        """Whether the process lived and the error, if any, is one that callers expect."""
        return self.kind in (
            "loaded",
            "LoadError",
            "ConversionError",
            "InferenceError",
            "OutOfMemoryError",
            "BaseNotFoundError",
        )


def try_models(paths: Sequence[Path], trial: str = "gguf") -> list[Verdict]:
    """One verdict for each path. A child tries one after the other until one kills it."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(paths):
        verdicts += _one_child(paths[len(verdicts) :], trial)
    return verdicts


def _one_child(paths: Sequence[Path], trial: str) -> list[Verdict]:
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.model_trials", trial],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        selector = selectors.DefaultSelector()
        selector.register(child.stdout, selectors.EVENT_READ)
        os.set_blocking(child.stderr.fileno(), False)
        verdicts: list[Verdict] = []
        for path in paths:
            started = time.monotonic()
            try:
                child.stdin.write(f"{path}\n")
                child.stdin.flush()
            except BrokenPipeError:
                pass
            if not selector.select(SECONDS + (60 if not verdicts else 0)):
                child.kill()
                return [*verdicts, Verdict("timeout", str(path), time.monotonic() - started)]
            line = child.stdout.readline()
            seconds = time.monotonic() - started
            if not line:
                code = child.wait()
                name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
                errors = (child.stderr.read() or "")[-300:]
                return [*verdicts, Verdict("signal", f"{name} {errors}", seconds)]
            answer = json.loads(line)
            verdicts.append(Verdict(answer["kind"], answer["message"], seconds))
        child.stdin.close()
        child.wait(SECONDS)
        return verdicts


def _try_gguf(path: Path) -> None:
    """One file, or a folder with parts in the order of their names."""
    from hivellm_lite.engine import Context, ContextOptions, Model, Row

    model = Model(sorted(path.iterdir()) if path.is_dir() else path)
    try:
        for special in (False, True):
            model.tokenize(TEXT, special=special)
        assert len(model.pieces) == model.n_vocab
        assert model.begin_token is None or model.begin_token < model.n_vocab
        _ = model.end_tokens, model.description, model.cache_sizes
        context = Context(model, ContextOptions(n_ctx=64, n_threads=1), 2)
        tokens = [model.n_vocab - 1, 0, min(5, model.n_vocab - 1)]
        context.decode([Row(0, 0, tokens), Row(1, 0, tokens)])
        context.decode([Row(0, 3, tokens[:1])])
        context.logits().max()
    finally:
        model.close()


def _try_folder(path: Path) -> None:
    from hivellm_lite.converters.base import convert_base

    out = path.with_suffix(".gguf")
    try:
        convert_base(path, out, quant="q8_0", threads=1)
        _try_gguf(out)
    finally:
        out.unlink(missing_ok=True)


def _try_adapter(path: Path) -> None:
    from hivellm_lite.engine import Adapter, Context, ContextOptions, Model, Row

    model = Model(path.with_name("base.gguf"))
    try:
        adapter = Adapter(model, path)
        context = Context(model, ContextOptions(n_ctx=64, n_threads=1))
        context.apply(((adapter, 1.0),))
        context.decode([Row(0, 0, [1, 2, 3])])
        context.logits().max()
    finally:
        model.close()


def _try_expert(path: Path) -> None:
    """The GGUF as the base of ``tiny.expert`` beside it."""
    from hivellm_lite import Expert

    modes = ("auto", "exact", "lora")
    mode = modes[len(path.name) % len(modes)]
    with Expert.load(path.with_name("tiny.expert"), base=path, adapter_mode=mode) as expert:
        expert.generate("hi there", max_tokens=2)


def _child(trial: str) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run = {
        "gguf": _try_gguf,
        "folder": _try_folder,
        "adapter": _try_adapter,
        "expert": _try_expert,
    }[trial]
    for line in sys.stdin:
        kind, message = "loaded", ""
        try:
            run(Path(line.rstrip("\n")))
        except Exception as error:
            kind, message = _public_kind(error), str(error)[:600]
        print(json.dumps({"kind": kind, "message": message}), flush=True)


def _public_kind(error: Exception) -> str:
    """The name of an error's class, or of the nearest one that users know."""
    kinds = type(error).__mro__
    return next(
        (kind.__name__ for kind in kinds if kind.__module__ == "hivellm_lite.errors"),
        kinds[0].__name__,
    )


if __name__ == "__main__":
    _child(sys.argv[1])
