"""A fleet in simulated time: requests arrive, are routed, computed, and asked again where lost."""

from __future__ import annotations

import bisect
import heapq
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from .fleet_kinds import Kind, Workload
from .fleet_machines import Machine, Task
from .fleet_routing import Route

__all__ = ["Measured", "Plan", "simulate", "simulate_clients"]


@dataclass(frozen=True)
class Plan:
    """What is simulated. Seconds: ``warm_up`` is not counted, ``measured`` is; then one machine is
    lost, and ``after`` is counted apart.

    ``prepared``: every machine has converted all experts before; otherwise none.
    """

    n_machines: int
    warm_up: float = 240.0
    measured: float = 240.0
    after: float = 60.0
    prepared: bool = True
    lose: bool = True
    seed: int = 1

    @property
    def lost_at(self) -> float:
        return self.warm_up + self.measured


@dataclass(frozen=True)
class Measured:
    """What came of a plan. Shares are from 0 to 1, times are seconds.

    ``imbalance``: requests of the machine with most of them, in those of the mean. ``busy``: the
    part of the time that machines compute in, on average; ``busiest``: the most. ``moved``: experts
    in memory of the lost machine and of no other. ``n_converted``: conversions of all machines.
    """

    hit_rate: float
    prefix_rate: float
    imbalance: float
    busy: float
    busiest: float
    first_median: float
    first_99: float
    whole_median: float
    whole_99: float
    after_hit_rate: float
    after_first_99: float
    moved: int
    n_asked_again: int
    n_converted: int
    n_answered: int
    tokens_per_second: float
    per_second: float
    tasks: Sequence[Task]


class _Clock:
    """Events in the order of their times; those of the same time in the order of their making."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = itertools.count()

    def at(self, time: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time, next(self._count), action))

    def run(self) -> None:
        while self._events:
            time, _, action = heapq.heappop(self._events)
            action(time)


def drawn_tasks(workload: Workload, seed: int) -> Iterator[Task]:
    """Requests without a time. They depend on nothing but the workload and the seed."""
    drawn = random.Random(f"requests-{seed}")
    weights = [1 / rank**workload.zipf for rank in range(1, workload.n_experts + 1)]
    sums = list(itertools.accumulate(weights))
    for index in itertools.count():
        expert = bisect.bisect_left(sums, drawn.random() * sums[-1])
        own, answer = drawn.choice(workload.own), drawn.choice(workload.answers)
        yield Task(index, expert, 0.0, own, answer)


def simulate(kind: Kind, workload: Workload, plan: Plan, route: Route) -> Measured:
    """Requests arrive at random times (Poisson) until the plan ends; all of them are answered."""
    clock = _Clock()
    machines = _machines(kind, workload, plan, clock, lambda _now, _task: None)
    alive = list(machines)
    tasks = []
    times = random.Random(f"times-{plan.seed}")
    rate = workload.rate * plan.n_machines
    now = 0.0
    for task in drawn_tasks(workload, plan.seed):
        now += times.expovariate(rate)
        if now > plan.lost_at + plan.after:
            break
        task.arrived = now
        tasks.append(task)

    def arrive(index: int, now: float) -> None:
        task = tasks[index]
        route(task.expert, alive).accept(now, task)
        if index + 1 < len(tasks):
            clock.at(tasks[index + 1].arrived, partial(arrive, index + 1))

    busy_before: list[float] = []
    busy_after: list[float] = []
    moved: list[int] = []

    def lose(now: float) -> None:
        busy_after.extend(machine.busy for machine in machines)
        if not plan.lose or len(alive) < 2:
            return
        gone = alive.pop(0)
        elsewhere = {expert for machine in alive for expert in machine.resident}
        moved.extend(expert for expert in gone.resident if expert not in elsewhere)
        for task in gone.lose():
            task.first = None
            route(task.expert, alive).accept(now, task)

    clock.at(tasks[0].arrived, partial(arrive, 0))
    clock.at(plan.warm_up, lambda _now: busy_before.extend(one.busy for one in machines))
    clock.at(plan.lost_at, lose)
    clock.run()
    busy = [
        (late - early) / plan.measured for early, late in zip(busy_before, busy_after, strict=True)
    ]
    return _measured(tasks, plan, machines, busy, len(moved))


def simulate_clients(
    kind: Kind, workload: Workload, n_clients: int, n_requests: int, hang_up: float, seed: int = 1
) -> Measured:
    """One machine and clients that ask one request after the other, as `benchmarks.serving` does:
    a part of them hangs up after 1 to 10 tokens.
    """
    clock = _Clock()
    plan = Plan(1, warm_up=0.0, seed=seed)
    drawn = random.Random(f"clients-{seed}")
    waiting = itertools.islice(drawn_tasks(workload, seed), n_requests)
    tasks: list[Task] = []

    def ask(now: float) -> None:
        task = next(waiting, None)
        if task is None:
            return
        task.arrived = now
        if drawn.random() < hang_up:
            task.n_answer = min(task.n_answer, drawn.randint(1, 10))
        tasks.append(task)
        machine.accept(now, task)

    (machine,) = _machines(kind, workload, plan, clock, lambda now, _task: clock.at(now, ask))
    for _ in range(n_clients):
        clock.at(0.0, ask)
    clock.run()
    end = max(task.ended or 0.0 for task in tasks)
    plan = Plan(1, warm_up=0.0, measured=end, after=0.0)
    return _measured(tasks, plan, [machine], [machine.busy / end], 0)


def _machines(
    kind: Kind,
    workload: Workload,
    plan: Plan,
    clock: _Clock,
    ended: Callable[[float, Task], None],
) -> list[Machine]:
    prepared = range(workload.n_experts) if plan.prepared else ()
    return [
        Machine(number, kind, workload.prefix, set(prepared), clock.at, ended)
        for number in range(plan.n_machines)
    ]


def _measured(
    tasks: Sequence[Task],
    plan: Plan,
    machines: Sequence[Machine],
    busy: Sequence[float],
    moved: int,
) -> Measured:
    inside = [one for one in tasks if plan.warm_up <= one.arrived < plan.lost_at]
    after = [one for one in tasks if one.arrived >= plan.lost_at]
    counts = Counter(one.machine for one in inside)
    firsts = sorted((one.first or 0.0) - one.arrived for one in inside)
    wholes = sorted((one.ended or 0.0) - one.arrived for one in inside)
    after_firsts = sorted((one.first or 0.0) - one.arrived for one in after)
    return Measured(
        hit_rate=_share(one.hit for one in inside),
        prefix_rate=_share(one.prefix_hit for one in inside),
        imbalance=max(counts.values()) * len(machines) / len(inside),
        busy=statistics.fmean(busy),
        busiest=max(busy),
        first_median=_quantile(firsts, 0.5),
        first_99=_quantile(firsts, 0.99),
        whole_median=_quantile(wholes, 0.5),
        whole_99=_quantile(wholes, 0.99),
        after_hit_rate=_share(one.hit for one in after),
        after_first_99=_quantile(after_firsts, 0.99),
        moved=moved,
        n_asked_again=sum(one.n_asked > 1 for one in tasks),
        n_converted=sum(machine.n_converted for machine in machines),
        n_answered=sum(one.n_ended for one in tasks),
        tokens_per_second=sum(one.n_answer for one in inside) / plan.measured,
        per_second=len(inside) / plan.measured,
        tasks=tasks,
    )


def _share(flags: Iterator[bool]) -> float:
    found = list(flags)
    return sum(found) / len(found) if found else float("nan")


def _quantile(values: Sequence[float], part: float) -> float:
    """By the nearest rank; ``values`` are sorted."""
    return values[min(int(part * len(values)), len(values) - 1)] if values else float("nan")
