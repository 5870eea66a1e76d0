"""All forms of one DoRA adapter on three bases: how exact, how large, how fast.

::

    python -m benchmarks.forms --base SmolLM2.Q4_1.gguf --hugging-face FOLDER

``FOLDER`` holds the same weights in float (``examples/training/export_base.py``). The
reference on each base is that base with the adapter's exact change added in
float32; the divergence is over the expert's own held-out answers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import checkpoint_weights, gguf_weights
from hivellm_lite.converters.peft.updates import Update

from hivellm_lite import Expert
from hivellm_lite.adapters import read_package_adapter
from hivellm_lite.bases.parts import base_parts
from hivellm_lite.cache import Cache
from hivellm_lite.engine import Adapter, Applied, ContextOptions
from hivellm_lite.inference.opening import open_session
from hivellm_lite.inference.session import Session
from hivellm_lite.verification import compare, log_probabilities

from .peft_parity import EXPERTS, questions
from .table import show

FORMS: list[tuple[str, dict[str, Any]]] = [
    ("low-rank, 0 extra ranks", {"adapter_mode": "lora", "extra_rank": 0}),
    ("low-rank, 8 extra ranks", {"adapter_mode": "lora", "extra_rank": 8}),
    ("low-rank, 32 extra ranks", {"adapter_mode": "lora", "extra_rank": 32}),
    ("low-rank, 64 extra ranks", {"adapter_mode": "lora", "extra_rank": 64}),
    ("variant at Q8_0", {"adapter_mode": "exact", "variant_type": "q8_0"}),
    ("variant at BF16", {"adapter_mode": "exact", "variant_type": "bf16"}),
    ("variant at F16", {"adapter_mode": "exact", "variant_type": "f16"}),
]
COUNT, RUNS, PREFILL, DECODE = 10, 3, 256, 24


@dataclass(frozen=True)
class _OnBase(Update):
    """The exact change of ``update`` on the float weight, added to the base's own weight."""

    update: Update
    weight: Any

    def apply(self, weight):  # type: ignore[no-untyped-def]
        return weight + (self.update.apply(self.weight) - self.weight)


@contextmanager
def reference(expert: Expert, folder: Path, cache: Cache) -> Iterator[tuple[list[Path], int]]:
    """The base of ``expert`` with the exact change in float32, as files to load."""
    with (
        gguf_weights(expert.base.path) as base,
        checkpoint_weights(folder) as floats,
        tempfile.TemporaryDirectory() as place,
    ):
        updates = find_targets(read_package_adapter(expert.package), base.header)
        exact = [(target, _OnBase(update, floats.read(target))) for target, update in updates]
        parts = base_parts(expert.base.path, cache)
        names = [part.name for part in parts]
        report = convert_variant(exact, base.header, names, base, Path(place), quantization="f32")
        yield loading_order(parts, Path(place)), report.n_tensors


def speed(session: Session, applied: Applied, n_vocab: int) -> tuple[float, float]:
    """Tokens/s of prefill and of decode (medians)."""
    prefill, decode = [], []
    random = np.random.default_rng(0)
    for turn in range(RUNS + 1):
        tokens = [int(token) for token in random.integers(100, n_vocab, PREFILL)]
        started = time.perf_counter()
        session.compute(tokens, applied, 1, lambda *_: None)
        between = time.perf_counter()
        for _ in range(DECODE):
            tokens.append(7)
            session.compute(tokens, applied, 1, lambda *_: None)
        if turn:
            prefill.append(PREFILL / (between - started))
            decode.append(DECODE / (time.perf_counter() - between))
    return statistics.median(prefill), statistics.median(decode)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--hugging-face", type=Path, required=True)
    parser.add_argument("--package", type=Path, default=EXPERTS / "json.expert")
    given = parser.parse_args()
    cache = Cache()
    exactly = ContextOptions(1024, kv_type="f32", flash_attention=False)
    asked = questions(given.package.stem)[:COUNT]
    bases = {"F32": "f32", "Q8_0": "q8_0", "Q4_1": None}
    for label, quantization in bases.items():
        where: dict[str, Any] = {"base": given.hugging_face, "quantization": quantization}
        if quantization is None:
            where = {"base": given.base, "float_weights": given.hugging_face}
        rows = []
        chosen = ""
        with Expert.load(given.package, **where) as expert:
            report = expert.prepared.report
            chosen = f"auto chooses {expert.prepared.form}: {report.why}"
            pairs = [
                (
                    expert.tokenize_prompt(question, schema=schema),
                    [score.token for score in expert.score(question, answer, schema=schema)],
                )
                for question, schema, answer in asked
            ]
            with reference(expert, given.hugging_face, cache) as (files, n_tensors):
                session = open_session(files, "cpu", exactly, n_tensors=n_tensors)
                expected = [log_probabilities(session, (), *pair) for pair in pairs]
                session.release()
        for name, options in FORMS:
            with Expert.load(given.package, **where, **options) as expert:
                prepared = expert.prepared
                session = open_session(prepared.files, "cpu", exactly, n_tensors=prepared.n_tensors)
                adapter = Adapter(session.model, prepared.lora) if prepared.lora else None
                applied = ((adapter, 1.0),) if adapter is not None else ()
                found = [log_probabilities(session, applied, *pair) for pair in pairs]
                error = compare(expected, found)
                if adapter is not None:
                    session.forget_adapter(adapter)
                session.release()
                live = expert.session
                prefill, decode = speed(live, expert.applied(), live.model.n_vocab)
            started = time.perf_counter()
            Expert.load(given.package, **where, **options).close()
            rows.append(
                (
                    name,
                    f"{error.kl_mean:.1e}",
                    f"{error.top1:.1%}",
                    f"{prepared.size / 1e6:.1f}",
                    f"{prefill:.0f}",
                    f"{decode:.1f}",
                    f"{time.perf_counter() - started:.2f}",
                )
            )
        header = ("form", "mean KL", "same top", "MB", "prefill/s", "decode/s", "load s")
        show(f"{given.package.stem} on a {label} base — {chosen}", header, rows)


if __name__ == "__main__":
    main()
