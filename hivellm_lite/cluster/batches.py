"""Answering a file of prompts on a Ray cluster: what ``hivellm-lite batch --ray`` does."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from .._version import __version__
from ..batch.answering import BatchLine, Record
from ..batch.schedule import Schedule
from ..cache.digests import digest_file
from ..engine.options import device_name
from ..errors import ExpertError, LoadError
from ..gbnf.library import grammar_names, load_grammar
from ..gbnf.syntax import Grammar
from ..manager import ExpertManager
from ..requests.grammars import MODES
from ..residency.names import AUTO
from ..terminal_text import one_line
from ..user_paths import path_from_anywhere
from .batch_worker import BatchJob, BatchWorker
from .connection import connected
from .placement import Placement, plan

__all__ = ["answer_on_cluster"]

WINDOW = 32
"""Lines that are held for each answer that the cluster computes at once: several lines of several
experts. An interruption loses the answers among them that had to wait for an earlier line."""

MAX_IN_VAIN = 10
"""Workers that may be lost one after the other without an answer in between."""

PATIENCE = 15.0
"""Seconds after which the user is told that no worker has started."""


def answer_on_cluster(
    lines: Iterable[BatchLine],
    n_lines: int,
    packages: Mapping[str, tuple[str, str]],
    files: Iterable[Path],
    load: Mapping[str, Any],
    *,
    address: str,
    workers: int | None,
    cpus: int | None,
    batch_size: int,
    write: Callable[[Record], object],
    tell: Callable[[str], object],
) -> None:
    """Answer all lines, and write the records in the order of the lines.

    ``packages``: as `BatchJob` has them. Paths, those of ``files`` among them, must lead to the
    same bytes on every machine; of packages and files that is checked. ``address``: as `connected`
    takes it; ``workers``, ``cpus``: as `plan` does. ``tell`` gets a sentence on every worker that
    is lost. Raises LoadError where the cluster is not reached, or a worker cannot do the work.
    """
    packages = {
        name: (path_from_anywhere(path), digest) for name, (path, digest) in packages.items()
    }
    load = {
        **load,
        **{
            name: path_from_anywhere(load[name]) for name in ("base", "float_weights") if load[name]
        },
        "cache_dir": load["cache_dir"] and str(Path(load["cache_dir"]).absolute()),
    }
    digests = {path: digest_file(path) for path in files}
    with _quiet(), connected(address), ExpertManager(**load) as experts:
        for name, (path, _) in packages.items():
            experts.register_expert(name, path)
        use_gpus = device_name(load["device"]) != "cpu"
        placement = plan(ray.nodes(), workers=workers, cpus=cpus, use_gpus=use_gpus)
        n_workers = min(placement.n_workers, -(-n_lines // batch_size))
        schedule = Schedule(
            (_portable(line, experts) for line in lines),
            n_together=batch_size,
            window=WINDOW * n_workers * batch_size,
        )
        job = BatchJob(packages, digests, load, batch_size, placement.cpus)
        crew = _Crew(job, placement, schedule, tell)
        try:
            crew.run(n_workers, write)
        finally:
            crew.end()


class _Crew:
    """The workers of a run, and the calls on which they work."""

    def __init__(
        self,
        job: BatchJob,
        placement: Placement,
        schedule: Schedule,
        tell: Callable[[str], object],
    ) -> None:
        self._job = job
        self._schedule = schedule
        self._tell = tell
        self._make = ray.remote(BatchWorker).options(
            num_cpus=placement.cpus, num_gpus=placement.gpus, scheduling_strategy="SPREAD"
        )
        self._names = map("worker {}".format, itertools.count(1))
        self._actors: dict[str, Any] = {}
        self._machines: dict[str, str] = {}
        """Those of the workers that are ready."""
        self._calls: dict[Any, str] = {}
        """The worker of each open call."""
        self._n_in_vain = 0

    def run(self, n_workers: int, write: Callable[[Record], object]) -> None:
        """Have all lines answered."""
        for _ in range(n_workers):
            self._start()
        patient_until = time.monotonic() + PATIENCE
        while True:
            for record in self._schedule.ready():
                write(record)
            if self._schedule.is_done:
                return
            for worker in self._machines:
                while block := self._schedule.take(worker):
                    self._calls[self._actors[worker].answer.remote(block)] = worker
            ended, _ = ray.wait(list(self._calls), timeout=1)
            for call in ended:
                self._take_in(call)
            if not self._machines and time.monotonic() > patient_until:
                patient_until = float("inf")
                self._tell(_waiting())

    def end(self) -> None:
        """End every worker at once."""
        for actor in self._actors.values():
            ray.kill(actor)

    def _start(self) -> None:
        worker = next(self._names)
        self._actors[worker] = actor = self._make.remote()
        self._calls[actor.start.remote(__version__, self._job)] = worker

    def _take_in(self, call: Any) -> None:
        """What came of a call. Raises LoadError where the worker cannot do the work."""
        worker = self._calls.pop(call)
        try:
            found: str | list[Record] = ray.get(call)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            self._replace(worker, str(error).rpartition("is dead because ")[2])
            return
        if isinstance(found, str):
            self._machines[worker] = found
        else:
            self._n_in_vain = 0
            self._schedule.answered(worker, found)

    def _replace(self, worker: str, reason: str) -> None:
        """Have another worker do what this one leaves, and forget its calls."""
        ray.kill(self._actors.pop(worker))
        machine = self._machines.pop(worker, None)
        lost = f"a worker {f'on {machine}' if machine else 'that was starting'} was lost"
        self._calls = {call: other for call, other in self._calls.items() if other != worker}
        n_lines = self._schedule.lost(worker)
        self._n_in_vain += 1
        if self._n_in_vain == MAX_IN_VAIN:
            raise LoadError(
                f"{MAX_IN_VAIN} workers were lost one after the other, and none of them answered a "
                f"line\nThe last one: {reason}"
            )
        self._tell(f"{lost}, and {n_lines} lines are computed again: {one_line(reason, 300)}")
        self._start()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray prints its own messages on stdout, where the records may be written."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        yield


def _waiting() -> str:
    free = ray.available_resources()
    return (
        f"no worker has started for {PATIENCE:.0f} s: the cluster has {free.get('CPU', 0):g} CPUs "
        f"and {free.get('GPU', 0):g} GPUs free. Other work may have to end first; with --ray-cpus, "
        "a worker takes less"
    )


# --- for other machines ------------------------------------------------------------------


def _portable(line: BatchLine, experts: ExpertManager) -> BatchLine:
    """The line with the expert that is meant by ``auto``, and with the grammar of a file."""
    if line.problem is not None:
        return line
    options, expert = dict(line.options), line.expert
    try:
        if expert == AUTO:
            expert = experts.name_for(**options)
        if options.get("grammar") not in (None, *MODES):
            options["grammar"] = _grammar(options["grammar"])
    except (ExpertError, ValueError) as error:
        return dataclasses.replace(line, problem=error)
    return dataclasses.replace(line, expert=expert, options=options)


@lru_cache(maxsize=64)
def _grammar(name_or_path: str) -> str | Grammar:
    """A name of the library as it is, or the grammar in a file."""
    return name_or_path if name_or_path in grammar_names() else load_grammar(name_or_path)
