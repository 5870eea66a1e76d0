"""One machine of a simulated fleet: a server with experts in memory, streams and one computer.

The machine computes as `hivellm_lite.inference` does on a CPU: at most ``streams`` answers, each
prompt alone, the next tokens of one expert's answers together, experts by turns. Loading and
converting happen beside that, one expert after the other.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hivellm_lite.inference.turns import turn_length

from .fleet_kinds import Kind

__all__ = ["Machine", "Task"]

MOST_STEPS = 4
"""Steps that are computed as one event."""

Schedule = Callable[[float, Callable[[float], None]], None]
"""Calls a function with the time when that has come."""


@dataclass(eq=False)
class Task:
    """A request and what became of it. Times are seconds since the beginning.

    ``n_answer``: tokens until the answer ends. ``hit``: its expert was in memory; ``prefix_hit``:
    the beginning of its prompt was computed. ``n_asked``: 2 and more after a machine was lost.
    """

    index: int
    expert: int
    arrived: float
    n_own: int
    n_answer: int
    first: float | None = None
    ended: float | None = None
    hit: bool = False
    prefix_hit: bool = False
    n_asked: int = 0
    n_ended: int = 0
    left: int = 0
    machine: int = -1


@dataclass
class _Group:
    """Answers of one expert: prompts to compute, and rows that want their next token."""

    prompts: deque[Task] = field(default_factory=deque)
    rows: list[Task] = field(default_factory=list)


class Machine:
    """``converted``: experts that this machine has converted before. ``ended`` is told of
    every answer.
    """

    def __init__(
        self,
        number: int,
        kind: Kind,
        prefix: int,
        converted: set[int],
        schedule: Schedule,
        ended: Callable[[float, Task], None],
    ) -> None:
        self.number = number
        self.kind = kind
        self.alive = True
        self.resident: OrderedDict[int, None] = OrderedDict()
        self.converted = converted
        self.n_converted = 0
        self.busy = 0.0
        self.tasks: dict[Task, None] = {}
        """Requests in flight."""
        self._prefix = prefix
        self._n_prefixes = kind.parked_bytes // (kind.kv_bytes * prefix) if prefix else 0
        self._prefixes: OrderedDict[int, None] = OrderedDict()
        self._schedule, self._ended = schedule, ended
        self._users: Counter[int] = Counter()
        self._to_load: OrderedDict[int, list[Task]] = OrderedDict()
        self._loading = self._converting = False
        self._stolen = 0.0
        self._waiting: deque[Task] = deque()
        self._groups: dict[int, _Group] = {}
        self._n_active = 0
        self._computing = False
        self._expert = -1
        self._n_steps = 0
        self._served: dict[int, float] = {}

    @property
    def n_in_flight(self) -> int:
        return len(self.tasks)

    def holds(self, expert: int) -> bool:
        """Whether the expert is in memory, or about to be."""
        return expert in self.resident or expert in self._to_load

    def accept(self, now: float, task: Task) -> None:
        task.machine = self.number
        task.n_asked += 1
        task.hit = task.expert in self.resident
        self.tasks[task] = None
        self._users[task.expert] += 1
        if task.hit:
            self.resident.move_to_end(task.expert)
            self._enqueue(now, [task])
        else:
            self._to_load.setdefault(task.expert, []).append(task)
            self._load(now)

    def lose(self) -> list[Task]:
        """The machine is gone. The requests that it had."""
        self.alive = False
        lost, self.tasks = list(self.tasks), {}
        return lost

    # --- loading ---------------------------------------------------------------------

    def _load(self, now: float) -> None:
        if self._loading or not self._to_load:
            return
        expert = next(iter(self._to_load))
        self._loading, self._converting = True, expert not in self.converted
        seconds = self.kind.load
        if self._converting:
            self.converted.add(expert)
            self.n_converted += 1
            seconds += self.kind.download + self.kind.convert
        else:
            self._stolen += seconds / self.kind.cores
        self._schedule(now + seconds, partial(self._loaded, expert))

    def _loaded(self, expert: int, now: float) -> None:
        if not self.alive:
            return
        self._loading = self._converting = False
        self.resident[expert] = None
        tasks = self._to_load.pop(expert)
        for old in list(self.resident):
            if len(self.resident) <= self.kind.resident:
                break
            if not self._users[old]:
                del self.resident[old]
                self._prefixes.pop(old, None)
        self._enqueue(now, tasks)
        self._load(now)

    # --- computing -------------------------------------------------------------------

    def _enqueue(self, now: float, tasks: list[Task]) -> None:
        self._waiting.extend(tasks)
        self._admit()
        self._compute(now)

    def _admit(self) -> None:
        while self._waiting and self._n_active < self.kind.streams:
            task = self._waiting.popleft()
            self._n_active += 1
            self._groups.setdefault(task.expert, _Group()).prompts.append(task)

    def _compute(self, now: float) -> None:
        """Begin the next piece of work."""
        if self._computing or not self._groups:
            return
        seconds = self._stolen + self._take_turn(now)
        self._stolen = 0.0
        group = self._groups[self._expert]
        n_steps = 1
        task = group.prompts.popleft() if group.prompts else None
        if task is not None:
            seconds += self.kind.prompt_seconds(self._n_uncached(task))
        else:
            n_steps = min(MOST_STEPS, *(row.left for row in group.rows))
            seconds += n_steps * self.kind.step_seconds(len(group.rows))
        if self._converting:
            seconds /= self.kind.share_left
        self._n_steps += n_steps
        self._computing = True
        self.busy += seconds
        self._schedule(now + seconds, partial(self._computed, task, n_steps))

    def _take_turn(self, now: float) -> float:
        """Choose whose turn it is; the seconds that a change of adapters takes."""
        swap = self.kind.swap_seconds(len(self.resident))
        n_others = len(self._groups) - 1
        if self._expert in self._groups:
            step = self.kind.step_seconds(len(self._groups[self._expert].rows) or 1)
            if n_others == 0 or self._n_steps < turn_length(swap, step, n_others):
                self._served[self._expert] = now
                return 0.0
        chosen = min(self._groups, key=lambda expert: self._served.get(expert, -1.0))
        changed, self._expert = chosen != self._expert, chosen
        self._n_steps = 0
        self._served[chosen] = now
        return swap if changed else 0.0

    def _n_uncached(self, task: Task) -> int:
        """Tokens of a prompt to compute. Its beginning is cached from now on."""
        expert = task.expert
        task.prefix_hit = expert in self._prefixes or bool(self._groups[expert].rows)
        self._prefixes[expert] = None
        self._prefixes.move_to_end(expert)
        if len(self._prefixes) > self._n_prefixes:
            self._prefixes.popitem(last=False)
        return task.n_own + (0 if task.prefix_hit else self._prefix)

    def _computed(self, prompt: Task | None, n_steps: int, now: float) -> None:
        if not self.alive:
            return
        self._computing = False
        group = self._groups[self._expert]
        if prompt is not None:  # the first token is chosen from the logits of the prompt
            prompt.first = now
            prompt.left = prompt.n_answer
            group.rows.append(prompt)
        rows = [prompt] if prompt is not None else group.rows
        done = []
        for task in rows:
            task.left -= n_steps
            if task.left == 0:
                done.append(task)
        if done:
            group.rows = [task for task in group.rows if task.left]
        if not group.rows and not group.prompts:
            del self._groups[self._expert]
        for task in done:
            task.ended = now
            task.n_ended += 1
            del self.tasks[task]
            self._users[task.expert] -= 1
            self._n_active -= 1
        self._admit()
        for task in done:
            self._ended(now, task)
        self._compute(now)
