"""Which machine a request goes to. Every routing knows how many requests each machine has."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence

from .fleet_machines import Machine

__all__ = ["ROUTINGS", "Route", "bounded"]

Route = Callable[[int, Sequence[Machine]], Machine]
"""Chooses one of the machines that live for an expert."""


def at_random(seed: int) -> Route:
    """As round robin does, in the long run."""
    drawn = random.Random(f"route-{seed}")
    return lambda _expert, machines: drawn.choice(machines)


def least_loaded(seed: int) -> Route:
    """The machine with the fewest requests in flight: HAProxy's ``leastconn``."""
    drawn = random.Random(f"route-{seed}")

    def route(_expert: int, machines: Sequence[Machine]) -> Machine:
        fewest = min(machine.n_in_flight for machine in machines)
        return drawn.choice([one for one in machines if one.n_in_flight == fewest])

    return route


def hashed(_seed: int) -> Route:
    """Always the expert's first home: consistent hashing without a bound."""
    homes = _Homes()
    return lambda expert, machines: homes.of(expert, machines)[0]


def bounded(factor: float) -> Callable[[int], Route]:
    """Consistent hashing with bounded loads, which is HAProxy's ``hash-balance-factor``: the
    expert's first home that has less than ``factor`` times the mean number of requests in flight.

    Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016.
    """

    def make(_seed: int) -> Route:
        homes = _Homes()

        def route(expert: int, machines: Sequence[Machine]) -> Machine:
            in_flight = sum(machine.n_in_flight for machine in machines) + 1
            bound = math.ceil(factor * in_flight / len(machines))
            ordered = homes.of(expert, machines)
            return next((one for one in ordered if one.n_in_flight < bound), ordered[0])

        return route

    return make


def warm_first(seed: int) -> Route:
    """As Ray Serve routes multiplexed models: the less loaded of two machines that hold the
    expert and have a stream free, else of two of all. Which is in memory where is known at once.
    """
    drawn = random.Random(f"route-{seed}")

    def route(expert: int, machines: Sequence[Machine]) -> Machine:
        warm = [one for one in machines if one.holds(expert) and one.n_in_flight < one.kind.streams]
        choices = warm or machines
        two = drawn.sample(choices, min(2, len(choices)))
        return min(two, key=lambda machine: machine.n_in_flight)

    return route


class _Homes:
    """The machines in the order in which an expert prefers them: rendezvous hashing. When a machine
    goes, the order of the others stays.
    """

    def __init__(self) -> None:
        self._orders: dict[int, list[Machine]] = {}
        self._n_machines = 0

    def of(self, expert: int, machines: Sequence[Machine]) -> list[Machine]:
        if len(machines) != self._n_machines:
            self._orders, self._n_machines = {}, len(machines)
        if expert not in self._orders:
            self._orders[expert] = sorted(machines, key=lambda one: _weight(expert, one.number))
        return self._orders[expert]


def _weight(expert: int, machine: int) -> bytes:
    return hashlib.blake2b(f"{expert}/{machine}".encode(), digest_size=8).digest()


ROUTINGS: dict[str, Callable[[int], Route]] = {
    "random": at_random,
    "least loaded": least_loaded,
    "hash": hashed,
    "affinity": bounded(1.5),
    "warm first": warm_first,
}
"""Each makes a routing from a seed."""
