"""Who answers which line, without any process: workers here are names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from hivellm_lite.batch.answering import BatchLine
from hivellm_lite.batch.schedule import Schedule

TOGETHER = 4
"""Answers that a worker computes at once; it has twice as many lines."""


def line(index: int, expert: str | dict[str, float] = "a", problem: Exception | None = None):
    return BatchLine(index, f"digest-{index}", None, expert, {}, problem)


def schedule(lines: Iterable[BatchLine], window: int = 1000) -> Schedule:
    return Schedule(lines, n_together=TOGETHER, window=window)


def record(one: BatchLine) -> dict[str, object]:
    return {"index": one.index, "input": one.digest}


def take_all(given: Schedule, worker: str) -> list[BatchLine]:
    """What a worker gets until the schedule has nothing more for it."""
    found: list[BatchLine] = []
    while block := given.take(worker):
        assert len({str(one.expert) for one in block}) == 1
        found += block
    return found


def run(
    given: Schedule, workers: list[str], ends: Callable[[BatchLine], bool] = lambda _: False
) -> tuple[list[dict[str, object]], dict[str, set[str]], int]:
    """The records, each worker's experts, and how many workers a line has ended.

    Workers answer one after the other; one that is ended comes back under another name.
    """
    records = [*given.ready()]
    experts: dict[str, set[str]] = {}
    n_ended = 0
    while not given.is_done:
        has = {worker: take_all(given, worker) for worker in workers}
        assert any(has.values()), "all wait, and nobody works"
        for place, (worker, lines) in enumerate(has.items()):
            experts.setdefault(worker, set()).update(str(one.expert) for one in lines)
            if any(map(ends, lines)):
                n_ended += 1
                given.lost(worker)
                workers[place] = f"{worker}'"
            else:
                given.answered(worker, map(record, lines))
        records += given.ready()
    return records, experts, n_ended


class TestOrder:
    def test_is_that_of_the_lines(self):
        given = schedule(line(index, "abc"[index % 3]) for index in range(5, 105))
        records, _, _ = run(given, ["one", "two"])
        assert [one["index"] for one in records] == list(range(5, 105))

    def test_needs_the_first_line(self):
        given = schedule(line(index, "ab"[index % 2]) for index in range(4))
        (first, third), (second, fourth) = given.take("one"), given.take("two")
        given.answered("two", [record(second), record(fourth)])
        assert list(given.ready()) == []
        given.answered("one", [record(first)])
        assert [one["index"] for one in given.ready()] == [0, 1]
        given.answered("one", [record(third)])
        assert [one["index"] for one in given.ready()] == [2, 3]
        assert given.is_done

    def test_holds_no_more_lines_than_the_window(self):
        read = []
        given = schedule((read.append(n) or line(n) for n in range(100)), window=10)
        assert len(read) == 10
        lines = take_all(given, "one")
        given.answered("one", map(record, lines[1:]))
        assert (list(given.ready()), len(read)) == ([], 10)
        given.answered("one", [record(lines[0])])
        n_ready = len(list(given.ready()))
        assert (n_ready, len(read)) == (len(lines), 10 + len(lines))

    def test_has_lines_that_make_no_sense_in_their_places(self):
        given = schedule(
            [line(0, problem=ValueError("no")), line(1), line(2, problem=ValueError())]
        )
        records, _, _ = run(given, ["one"])
        assert ["error" in one for one in records] == [True, False, True]
        assert records[0]["error"] == {"type": "ValueError", "message": "no"}

    @pytest.mark.parametrize("lines", [[], [line(0, problem=ValueError())]])
    def test_may_need_no_worker(self, lines):
        given = schedule(lines)
        assert len(list(given.ready())) == len(lines)
        assert given.is_done


class TestExperts:
    def test_stay_on_their_workers(self):
        names = "abcdefgh"
        given = schedule(line(index, names[index % 8]) for index in range(800))
        _, experts, _ = run(given, ["one", "two", "three", "four"])
        homes = [sum(name in each for each in experts.values()) for name in names]
        assert sum(homes) <= 12

    def test_are_answered_one_after_the_other(self):
        given = schedule(line(index, "ab"[index % 2]) for index in range(100))
        lines = take_all(given, "one")
        for _ in range(5):
            given.answered("one", map(record, lines))
            lines = take_all(given, "one")
            assert {one.expert for one in lines} == {"a"}

    def test_are_helped_where_many_lines_wait(self):
        given = schedule(line(index) for index in range(100))
        _, experts, _ = run(given, ["one", "two"])
        assert experts == {"one": {"a"}, "two": {"a"}}

    def test_are_not_loaded_again_for_a_few_lines(self):
        given = schedule(line(index) for index in range(10))
        assert len(take_all(given, "one")) == 2 * TOGETHER
        assert take_all(given, "two") == []

    def test_of_a_blend_are_the_one_with_the_most_weight(self):
        blend = {"a": 0.2, "b": -0.8}
        given = schedule([line(0, "a"), line(1, "b"), line(2, blend)])
        assert [one.index for one in given.take("one")] == [0]
        assert [one.index for one in given.take("two")] == [1, 2]


class TestLoss:
    def test_gives_the_lines_to_others(self):
        given = schedule(line(index) for index in range(8))
        lines = take_all(given, "one")
        given.answered("one", map(record, lines[2:4]))
        assert given.lost("one") == 6
        again = take_all(given, "two")
        assert [one.index for one in again] == [0, 1, 4, 5, 6, 7]
        given.answered("two", map(record, again))
        assert [one["index"] for one in given.ready()] == list(range(8))

    def test_of_a_worker_without_lines_changes_nothing(self):
        given = schedule([line(0)])
        assert given.lost("one") == 0
        assert len(run(given, ["two"])[0]) == 1

    def test_gives_up_only_the_line_that_ends_workers(self):
        given = schedule(line(index, "ab"[index // 3 % 2]) for index in range(60))
        records, _, n_ended = run(given, ["one", "two"], lambda one: one.index == 20)
        assert [one["index"] for one in records] == list(range(60))
        assert [one["index"] for one in records if "error" in one] == [20]
        assert "3 workers ended while they computed this line" in records[20]["error"]["message"]
        assert n_ended == 3

    def test_of_two_workers_leaves_a_line_alone_on_the_third(self):
        given = schedule(line(index) for index in range(12))
        for worker in ("one", "two"):
            assert len(take_all(given, worker)) == 8
            given.lost(worker)
        alone = take_all(given, "three")
        assert len(alone) == 1
        given.answered("three", map(record, alone))
        records, _, _ = run(given, ["three", "four"])
        assert len(records) == 12
        assert not any("error" in one for one in records)
