from __future__ import annotations

import pytest

from hivellm_lite.cluster.placement import Placement, plan
from hivellm_lite.errors import LoadError


def nodes(*sizes: float, gpus: tuple[float, ...] = ()):
    """As ``ray.nodes()`` tells of them; a node without CPUs, or that has ended, comes first."""
    given = [
        {"CPU": size, **({"GPU": gpu} if gpu else {})}
        for size, gpu in zip(sizes, gpus or (0,) * len(sizes), strict=True)
    ]
    dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    return [dead, *({"Alive": True, "Resources": one} for one in ({"memory": 1.0}, *given))]


@pytest.mark.parametrize(
    ("given", "workers", "cpus", "expected"),
    [
        ((8,), None, None, Placement(1, 8, 0)),
        ((8, 8, 8), None, None, Placement(3, 8, 0)),
        ((8, 16, 4), None, None, Placement(7, 4, 0)),
        ((8, 8), None, 2, Placement(8, 2, 0)),
        ((8, 8), 1, None, Placement(1, 8, 0)),
        ((8, 8), 4, None, Placement(4, 4, 0)),
        ((2, 2), 100, None, Placement(100, 1, 0)),
        ((8, 8), 3, 5, Placement(3, 5, 0)),
        ((1, 16), None, 16, Placement(1, 16, 0)),
    ],
)
def test_on_cpus(given, workers, cpus, expected):
    assert plan(nodes(*given), workers=workers, cpus=cpus, use_gpus=True) == expected


def test_on_gpus_each_has_a_worker():
    machines = nodes(16, 16, 4, gpus=(4, 2, 0))
    assert plan(machines, workers=None, cpus=None, use_gpus=True) == Placement(6, 1, 1)
    assert plan(machines, workers=2, cpus=4, use_gpus=True) == Placement(2, 4, 1)
    assert plan(machines, workers=None, cpus=None, use_gpus=False) == Placement(9, 4, 0)


@pytest.mark.parametrize(("given", "cpus", "found"), [((), None, "none"), ((4, 2), 8, "2, 4")])
def test_is_refused_where_no_machine_is_large_enough(given, cpus, found):
    with pytest.raises(LoadError, match=f"has {cpus or 1} CPUs for a worker: there are {found}"):
        plan(nodes(*given), workers=None, cpus=cpus, use_gpus=True)
