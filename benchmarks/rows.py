"""What a decode of several tokens of one sequence costs, compared with a decode of one.

::

    python -m benchmarks.rows --base q8_0.gguf --base q4_0.gguf --package random-0.expert

A draft of an answer's next tokens is verified in one such decode: the logits of all rows are
wanted, so the head is computed for all of them. Each base is measured under the adapter, as
llama.cpp loads it and without repacked weights. Decodes of all sizes take turns. The first decode
of each size is not counted, since llama.cpp makes its graph anew then; a column says what that
takes. The last one tells how far logits of rows that are computed together are from those of rows
that are computed one by one: at most, for 2 and for 8 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hivellm_lite import Expert
from hivellm_lite.engine import Adapter, Context, ContextOptions, Model, Row
from hivellm_lite.engine.device import is_cpu
from hivellm_lite.hardware import physical_cores

from .peft_parity import EXPERTS
from .table import median_ratio, show

N_POSITIONS = 300
N_ROWS = (1, 2, 3, 4, 5, 6, 8, 12, 16)
PER_TURN = 2
"""Decodes of one size in a row that are counted."""


@dataclass(frozen=True)
class Measured:
    """Decodes on one model, by their number of rows."""

    apart: dict[int, float]
    """Largest difference of a logit from that of the same row computed alone."""
    counted: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in N_ROWS})
    """Seconds; one entry for each turn."""
    first: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in N_ROWS})
    """Seconds after a decode of another size."""

    def relative(self, n: int) -> float:
        """A decode of ``n`` rows, in decodes of one row."""
        return median_ratio(self.counted[1], self.counted[n])

    @property
    def anew(self) -> float:
        """What a decode takes more after one of another size."""
        pairs = ((self.first[n], self.counted[n]) for n in N_ROWS)
        return statistics.median(
            a - b for first, rest in pairs for a, b in zip(first, rest, strict=True)
        )


@contextmanager
def repacking(wanted: bool) -> Iterator[None]:
    """Whether a model that is loaded inside may have repacked weights."""
    name = "HIVELLM_EXTRA_BUFFERS"
    before = os.environ.get(name)
    os.environ[name] = str(int(wanted))
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def measure(
    base: Path, adapter: Path, device: str, turns: int, clock: Callable[[], float]
) -> Measured:
    model = Model(base, device=device)
    context = Context(model, ContextOptions(n_ctx=512))
    context.apply(((Adapter(model, adapter), 1.0),))
    tokens = np.random.default_rng(0).integers(0, model.n_vocab, 512).tolist()
    context.decode([Row(0, 0, tokens[:N_POSITIONS], 1)])
    measured = Measured({n: apart(context, tokens[N_POSITIONS:][:n]) for n in (2, 8)})

    def decode(n: int) -> float:
        context.truncate(0, N_POSITIONS)
        began = clock()
        (end,) = context.decode([Row(0, N_POSITIONS, tokens[N_POSITIONS:][:n], n_logits=n)])
        context.logits(end)
        return clock() - began

    for turn in range(turns + 1):
        for n in N_ROWS:
            first, *rest = (decode(n) for _ in range(PER_TURN + 1))
            if turn:
                measured.first[n].append(first)
                measured.counted[n].append(statistics.median(rest))
    context.close()
    model.close()
    return measured


def apart(context: Context, tokens: list[int]) -> float:
    """The largest difference between logits of ``tokens`` computed together and one by one."""
    alone = []
    context.truncate(0, N_POSITIONS)
    for place, token in enumerate(tokens, start=N_POSITIONS):
        (end,) = context.decode([Row(0, place, [token])])
        alone.append(context.logits(end).copy())
    context.truncate(0, N_POSITIONS)
    context.decode([Row(0, N_POSITIONS, tokens, n_logits=len(tokens))])
    together = [context.logits(index) for index in range(len(tokens))]
    return float(np.abs(np.array(together) - np.array(alone)).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, action="append", required=True, help="a GGUF file")
    parser.add_argument("--package", type=Path, default=EXPERTS / "sql.expert")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, metal, vulkan …")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="of all threads, instead of the time that passes: for a machine that is not idle",
    )
    parser.add_argument("--json", type=Path, help="also write the ratios here, for drafts.py")
    given = parser.parse_args()
    clock = time.process_time if given.cpu_time else time.perf_counter
    rows = []
    ratios: dict[str, dict[int, float]] = {}
    for base in given.base:
        with Expert.load(given.package, base=base, adapter_mode="lora") as expert:
            adapter = expert.prepared.lora
        assert adapter is not None
        for packed in (True, False) if is_cpu(given.device) else (True,):
            with repacking(packed):
                found = measure(base, adapter, given.device, given.turns, clock)
            name = base.stem if packed else f"{base.stem}, not repacked"
            ratios[name] = {n: found.relative(n) for n in N_ROWS}
            rows.append(
                (
                    base.name,
                    "yes" if packed else "no",
                    f"{statistics.median(found.counted[1]) * 1e3:.1f}",
                    *(f"{found.relative(n):.2f}" for n in N_ROWS[1:]),
                    f"{found.anew * 1e3:+.1f}",
                    ", ".join(f"{difference:.2g}" for difference in found.apart.values()),
                )
            )
    show(
        f"Decodes of several rows of one sequence, in decodes of one row: logits of all rows, "
        f"{given.package.stem} applied, position {N_POSITIONS}, {given.device}, "
        f"{physical_cores()} threads, {given.turns} turns"
        f"{', CPU time' if given.cpu_time else ''}",
        ("base", "repacking", "1, ms", *map(str, N_ROWS[1:]), "another size, ms", "apart"),
        rows,
    )
    if given.json is not None:
        given.json.write_text(json.dumps(ratios, indent=2))


if __name__ == "__main__":
    main()
