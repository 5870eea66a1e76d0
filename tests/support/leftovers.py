"""What a test leaves behind: experts that are loaded, threads, the environment, the folder.

A failing test leaves more than it meant to. Its traceback keeps its variables, so an expert that
it loaded would stay in memory, and every later test that counts models or threads would fail, too.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

POOLS = "hivellm-lite-"
"""What the names of the library's pools of threads begin with: they stay for the next test."""

PATIENCE = 10.0
"""Seconds to wait for threads of which the experts were closed."""


@dataclass(frozen=True)
class Surroundings:
    """What is there at one moment, and what a later moment is compared with."""

    sessions: tuple[Any, ...]
    models: tuple[Any, ...]
    managers: tuple[Any, ...]
    """Their registries: a manager of a whole module may load an expert in one of its tests."""
    threads: frozenset[threading.Thread]
    environment: dict[str, str]
    folder: Path

    @classmethod
    def now(cls) -> Surroundings:
        opening = sys.modules.get("hivellm_lite.inference.opening")
        return cls(
            sessions=tuple(opening.sessions.values()) if opening else (),
            models=tuple(opening.models.values()) if opening else (),
            managers=_managers(),
            threads=frozenset(threading.enumerate()),
            environment=_environment(),
            folder=Path.cwd(),
        )

    def loaded_since(self) -> list[str]:
        """Sessions and models that are there now and were not there then, a text each."""
        sessions, models = self._new()
        found = [f"the session of {one.stats()['model']}" for one in sessions]
        return [*found, *(f"the model {one.model.files[0]}" for one in models)]

    def _new(self) -> tuple[list[Any], list[Any]]:
        """Sessions and models that came since, but for those of the managers that were there."""
        now = Surroundings.now()
        known = [*self.sessions]
        for manager in self.managers:
            known += manager._sessions().values()
        sessions = [one for one in now.sessions if not any(one is other for other in known)]
        used = [one.model for one in known]
        models = [
            one
            for one in now.models
            if not any(one is other for other in self.models)
            and not any(one.model is model for model in used)
        ]
        return sessions, models

    def since(self) -> list[str]:
        """Whatever is there now and was not there then, a text each."""
        now = Surroundings.now()
        found = self.loaded_since()
        found += [
            f"the thread {thread.name}"
            for thread in sorted(now.threads - self.threads, key=lambda thread: thread.name)
            if not thread.daemon and not thread.name.startswith(POOLS)
        ]
        names = self.environment.keys() | now.environment.keys()
        found += [
            f"the environment variable {name}"
            for name in sorted(names)
            if self.environment.get(name) != now.environment.get(name)
        ]
        return found if self.folder == now.folder else [*found, f"the folder {now.folder}"]

    def restore(self) -> None:
        """Close and undo what came since, whatever still holds it."""
        self._close_experts()
        for name in _environment().keys() - self.environment.keys():
            del os.environ[name]
        os.environ.update(self.environment)
        os.chdir(self.folder)
        until = time.monotonic() + PATIENCE
        for thread in set(threading.enumerate()) - self.threads:
            if not thread.name.startswith(POOLS):
                thread.join(max(0.0, until - time.monotonic()))

    def _close_experts(self) -> None:
        sessions, models = self._new()
        if not sessions and not models:
            return
        from hivellm_lite.loading.loaded_expert import LoadedExpert

        for manager in _managers():
            if not any(manager is other for other in self.managers):
                manager.close()
        for one in [one for one in gc.get_objects() if type(one) is LoadedExpert]:
            if not one.closed and (
                any(one.session is session for session in sessions)
                or any(one.session.model is loaded.model for loaded in models)
            ):
                one.close()
        for session in sessions:
            while session.users > 0:
                session.release()


def forget_frames(error: BaseException | None) -> None:
    """Empty the variables of the frames that ``error`` came through, those of its causes too."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        _forget(error.__traceback__)
        for other in getattr(error, "exceptions", ()):  # an exception group
            forget_frames(other)
        error = error.__cause__ or error.__context__


def _forget(trace: TracebackType | None) -> None:
    with contextlib.suppress(RuntimeError):
        traceback.clear_frames(trace)


def _environment() -> dict[str, str]:
    """Without pytest's own note of the test that runs."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _managers() -> tuple[Any, ...]:
    registry = sys.modules.get("hivellm_lite.residency.registry")
    state = sys.modules.get("hivellm_lite.process.state")
    if registry is None or state is None:
        return ()
    return tuple(one for one in state._forkables if isinstance(one, registry.ExpertRegistry))
