"""The simulation of a fleet: what must hold whatever the numbers of a machine are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.fleet import numbers, validation
from benchmarks.fleet_kinds import SMOLLM2, Workload, interpolated
from benchmarks.fleet_machines import Machine
from benchmarks.fleet_routing import ROUTINGS
from benchmarks.fleet_simulation import Measured, Plan, simulate

KIND = replace(SMOLLM2, resident=8)
WORKLOAD = Workload(n_experts=60, rate=2.5)
PLAN = Plan(4, warm_up=30.0, measured=60.0, after=20.0)


def measured(routing: str, plan: Plan = PLAN) -> Measured:
    return simulate(KIND, WORKLOAD, plan, ROUTINGS[routing](plan.seed))


@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_request_is_answered_once_although_a_machine_is_lost(routing):
    found = measured(routing, replace(PLAN, seed=3))
    assert [task.index for task in found.tasks] == list(range(len(found.tasks)))
    assert {task.n_ended for task in found.tasks} == {1}
    assert all(task.arrived < task.first <= task.ended for task in found.tasks)
    assert found.n_asked_again > 0
    assert 0 not in {task.machine for task in found.tasks if task.arrived >= PLAN.lost_at}


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    found = numbers(measured("affinity"))
    assert numbers(measured("affinity")) == found
    assert numbers(measured("affinity", replace(PLAN, seed=2))) != found


def test_one_machine_answers_the_same_under_every_routing():
    plan = replace(PLAN, n_machines=1)
    ends = {name: [task.ended for task in measured(name, plan).tasks] for name in ROUTINGS}
    assert len({tuple(end) for end in ends.values()}) == 1


@pytest.mark.parametrize("routing", ["hash", "affinity", "warm first"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_affinity_finds_experts_in_memory_more_often_than_chance(routing, seed):
    plan = replace(PLAN, seed=seed)
    assert measured(routing, plan).hit_rate > measured("random", plan).hit_rate


def test_when_a_machine_goes_only_its_experts_get_another_home():
    machines = [
        Machine(number, KIND, 50, set(), lambda _time, _action: None, lambda _now, _task: None)
        for number in range(5)
    ]
    route = ROUTINGS["hash"](1)
    homes = {expert: route(expert, machines).number for expert in range(200)}
    left = {expert: route(expert, machines[1:]).number for expert in range(200)}
    assert set(homes.values()) == {0, 1, 2, 3, 4}
    assert [expert for expert in homes if homes[expert] != left[expert]] == [
        expert for expert, home in homes.items() if home == 0
    ]


def test_an_expert_is_converted_once_on_each_machine_that_is_asked_for_it():
    found = measured("hash", replace(PLAN, prepared=False, lose=False))
    assert found.n_converted == len({(task.machine, task.expert) for task in found.tasks})


def test_the_model_is_near_what_was_measured():
    found = {one["case"]: one for one in validation(1).found}
    (clients,) = (one for case, one in found.items() if case.startswith("64 clients"))
    assert 5.3 * 0.9 < clients["per_second"] < 5.75 * 1.1


def test_costs_between_and_beyond_measured_points_are_on_straight_lines():
    points = ((1, 10.0), (2, 20.0), (4, 30.0))
    assert [interpolated(points, x) for x in (0, 1, 1.5, 2, 3, 4, 6)] == [0, 10, 15, 20, 25, 30, 40]
