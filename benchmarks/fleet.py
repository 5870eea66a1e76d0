"""A fleet of machines in simulated time: 1,000 experts, few of them in each machine's memory.

::

    python -m benchmarks.fleet                  # all tables: under two minutes of one core
    python -m benchmarks.fleet --only main --zipf 0.8 --rate 1.5 --json main.json

Nothing is computed or sent: `fleet_kinds` has what a machine takes for its work, as measured,
`fleet_machines` how it computes, `fleet_routing` who gets a request. The first table compares the
model with benchmarks that were run. The same seed gives the same tables. docs/scaling.md says what
follows from them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from .fleet_kinds import H200, KINDS, QWEN3, SMOLLM2, Kind, Workload
from .fleet_routing import ROUTINGS, Route, bounded
from .fleet_simulation import Measured, Plan, simulate, simulate_clients
from .table import show

SIZES = (4, 8, 16, 32, 64)
N_MACHINES = 16
"""Of the tables that have one size."""

BRIEF = Plan(N_MACHINES, warm_up=120.0, measured=120.0)
FIRST_WITHIN = 5.0
"""Seconds within which 99 % of the first tokens shall come, where capacity is asked for."""

STEP = 0.25
"""Requests a second and machine between two rates that are tried."""

HEADER = (
    "routing", "hits", "prefix hits", "max/mean", "busy, busiest", "first token: median s", "99 %",
    "answer: median s", "99 %", "lost: hits", "lost: 99 %", "experts gone",
)  # fmt: skip
Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """``found``: what was measured, row by row, for ``--json``."""

    name: str
    title: str
    header: Row
    rows: list[Row]
    found: list[dict[str, object]]


def cells(one: Measured) -> Row:
    return (
        f"{one.hit_rate:.2f}",
        f"{one.prefix_rate:.2f}",
        f"{one.imbalance:.2f}",
        f"{one.busy:.2f}, {one.busiest:.2f}",
        f"{one.first_median:.2f}",
        f"{one.first_99:.2f}",
        f"{one.whole_median:.2f}",
        f"{one.whole_99:.2f}",
        f"{one.after_hit_rate:.2f}",
        f"{one.after_first_99:.2f}",
        str(one.moved),
    )


def numbers(one: Measured) -> dict[str, object]:
    return {f.name: getattr(one, f.name) for f in fields(one) if f.name != "tasks"}


def validation(seed: int) -> Table:
    """One machine under the loads of benchmarks that were run."""
    question = Workload(n_experts=3, zipf=0.0)
    real = Workload(n_experts=1, zipf=0.0, prefix=22, own=(28,), answers=(24,))
    three = replace(question, own=(20,), answers=(64,))
    cases: list[tuple[str, str, Kind, Workload, int, int, float]] = [
        ("64 clients, 3 experts, 1 in 10 hangs up: requests/s (docs/server.md, docs/design.md)",
         "5.3 and 5.75", SMOLLM2, question, 64, 1000, 0.1),
        ("the same, prompts of some 315 tokens: requests/s (docs/server.md)",
         "5.0", SMOLLM2, replace(question, prefix=300), 64, 1000, 0.1),
        ("1 answer after the other, 50 + 24 tokens: tokens/s (docs/design.md)",
         "18", QWEN3, real, 1, 50, 0.0),
        ("16 together: tokens/s (docs/design.md)", "33", QWEN3, real, 16, 200, 0.0),
        ("24 clients, 3 experts, 64 tokens: tokens/s (docs/design.md)",
         "2030", H200, three, 24, 96, 0.0),
    ]  # fmt: skip
    rows: list[Row] = []
    found = []
    for name, known, kind, workload, n_clients, n_requests, hang_up in cases:
        one = simulate_clients(kind, workload, n_clients, n_requests, hang_up, seed)
        is_rate = "requests/s" in name
        got = f"{one.per_second:.2f}" if is_rate else f"{one.tokens_per_second:.0f}"
        rows.append((kind.name, name, known, got, f"{one.first_median:.1f}"))
        found.append({"kind": kind.name, "case": name, "known": known, **numbers(one)})
    header = ("machine", "load", "measured", "simulated", "first token: median s")
    return Table("validation", "The model beside benchmarks that were run", header, rows, found)


def one_machine(seed: int) -> Table:
    """How much a saturated machine answers, by how many experts are asked equally often."""
    rows, found = [], []
    counts = (1, 3, 16, 64)
    for kind in KINDS.values():
        row = [kind.name]
        for count in counts:
            asked = Workload(n_experts=count, zipf=0.0)
            one = simulate_clients(kind, asked, 4 * kind.streams, 2000, 0.0, seed)
            row.append(f"{one.per_second:.2f}")
            found.append({"kind": kind.name, "experts": count, **numbers(one)})
        rows.append(tuple(row))
    header = ("machine", *(f"{count} experts" for count in counts))
    return Table("one", "Requests/s of one saturated machine", header, rows, found)


def main_table(kind: Kind, workload: Workload, seed: int) -> Table:
    rows, found = [], []
    for size in SIZES:
        for name, make in ROUTINGS.items():
            one = simulate(kind, workload, Plan(size, seed=seed), make(seed))
            rows.append((str(size), name, *cells(one)))
            found.append({"machines": size, "routing": name, **numbers(one)})
    title = (
        f"{workload.n_experts} experts, Zipf {workload.zipf}, {workload.rate} requests/s and "
        f"machine, prompts of {workload.prefix} shared tokens, {kind.resident} experts in memory, "
        f"converted before: {kind.name}"
    )
    return Table("main", title, ("machines", *HEADER), rows, found)


def capacity(seed: int) -> Table:
    """The highest rate at which first tokens come in time."""
    rows, found = [], []
    loads = [(zipf, 50) for zipf in (0.8, 1.0, 1.2)] + [(1.0, 300)]
    for name, make in ROUTINGS.items():
        row = [name]
        for zipf, prefix in loads:
            workload = Workload(zipf=zipf, prefix=prefix)
            rate = STEP * _highest(partial(_in_time, workload, make, seed))
            row.append(f"{rate:.2f}")
            found.append({"routing": name, "zipf": zipf, "prefix": prefix, "rate": rate})
        rows.append(tuple(row))
    header = ("routing", *(f"Zipf {zipf}, {prefix} tokens" for zipf, prefix in loads))
    title = (
        f"Most requests/s and machine with 99 % of first tokens within {FIRST_WITHIN:.0f} s, "
        f"{N_MACHINES} machines, steps of {STEP}: {SMOLLM2.name}"
    )
    return Table("capacity", title, header, rows, found)


def _in_time(workload: Workload, make: Callable[[int], Route], seed: int, n_steps: int) -> bool:
    plan = replace(BRIEF, seed=seed, after=0.0, lose=False)
    asked = replace(workload, rate=n_steps * STEP)
    return simulate(SMOLLM2, asked, plan, make(seed)).first_99 <= FIRST_WITHIN


def _highest(holds: Callable[[int], bool]) -> int:
    """The highest number up to 31 for which something holds, or 0."""
    low, high = 0, 32
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def sensitivity(seed: int) -> Table:
    """How results depend on what was chosen, assumed or measured lightly."""
    usual = Workload(rate=2.0)
    cases: list[tuple[str, Kind, Workload]] = [
        ("as in the first table", SMOLLM2, usual),
        ("16 experts in memory", replace(SMOLLM2, resident=16), usual),
        ("256 experts in memory", replace(SMOLLM2, resident=256), usual),
        ("loading takes 10 times as long", replace(SMOLLM2, load=SMOLLM2.load * 10), usual),
        ("swaps cost 3 times as much",
         replace(SMOLLM2, swap=3e-3, swap_per_adapter=0.51e-3), usual),
        ("300 shared tokens, 1/s", SMOLLM2, replace(usual, prefix=300, rate=1.0)),
        ("Zipf 0.8", SMOLLM2, replace(usual, zipf=0.8)),
        ("Zipf 1.2", SMOLLM2, replace(usual, zipf=1.2)),
        ("Qwen3-0.6B, 0.3/s", QWEN3, replace(usual, rate=0.3)),
        ("H200, 25/s", H200, replace(usual, rate=25.0)),
    ]  # fmt: skip
    ways = {name: ROUTINGS[name] for name in ("least loaded", "affinity", "warm first")}
    rows, found = [], []
    for case, kind, workload in cases:
        for name, make in ways.items():
            plan = replace(BRIEF, seed=seed, warm_up=_warm_up(kind, workload))
            one = simulate(kind, workload, plan, make(seed))
            rows.append((case, name, *cells(one)))
            found.append({"case": case, "routing": name, **numbers(one)})
    for factor in (1.25, 1.5, 2.0, 3.0):
        case = f"hash-balance-factor {factor:.0%}"[:-1]
        one = simulate(SMOLLM2, usual, replace(BRIEF, seed=seed), bounded(factor)(seed))
        rows.append((case, "affinity", *cells(one)))
        found.append({"case": case, "routing": "affinity", **numbers(one)})
    title = f"What results depend on, {N_MACHINES} machines, 2 requests/s and machine"
    return Table("sensitivity", title, ("case", *HEADER), rows, found)


def _warm_up(kind: Kind, workload: Workload) -> float:
    """Seconds until memory is full: several requests for each expert that it holds."""
    return max(BRIEF.warm_up, 4 * kind.resident / workload.rate)


def new_fleet(seed: int) -> Table:
    """The first ten minutes of machines that have converted nothing."""
    plan = Plan(N_MACHINES, 0.0, 600.0, 0.0, prepared=False, lose=False, seed=seed)
    rows, found = [], []
    for case, convert in (("LoRA, 0.5 s", 0.5), ("DoRA, 30 s", 30.0)):
        for name, make in ROUTINGS.items():
            kind = replace(SMOLLM2, convert=convert)
            one = simulate(kind, Workload(rate=1.0), plan, make(seed))
            rows.append((case, name, *cells(one)[:8], str(one.n_converted)))
            found.append({"case": case, "routing": name, **numbers(one)})
    title = f"A new fleet, nothing converted: first 10 minutes, {N_MACHINES} machines, 1 request/s"
    return Table("new", title, ("adapters", *HEADER[:9], "conversions"), rows, found)


def tables(only: str | None, kind: Kind, workload: Workload, seed: int) -> Iterator[Table]:
    makers: dict[str, Callable[[], Table]] = {
        "validation": lambda: validation(seed),
        "one": lambda: one_machine(seed),
        "main": lambda: main_table(kind, workload, seed),
        "capacity": lambda: capacity(seed),
        "sensitivity": lambda: sensitivity(seed),
        "new": lambda: new_fleet(seed),
    }
    for name, make in makers.items():
        if only in (None, name):
            yield make()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", choices=("validation", "one", "main", "capacity", "sensitivity", "new")
    )
    parser.add_argument("--kind", choices=KINDS, default="smollm2", help="of the main table")
    parser.add_argument("--experts", type=int, default=1000)
    parser.add_argument("--zipf", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=2.0, help="requests/s and machine")
    parser.add_argument("--prefix", type=int, default=50, help="shared tokens of a prompt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    given = parser.parse_args()
    workload = Workload(given.experts, given.zipf, given.rate, given.prefix)
    found = {}
    for table in tables(given.only, KINDS[given.kind], workload, given.seed):
        show(table.title, table.header, table.rows)
        found[table.name] = table.found
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
