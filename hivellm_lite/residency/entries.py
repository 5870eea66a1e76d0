"""What a registry keeps of each expert: its name, how to load it, and what is loaded of it."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..loading.loaded_expert import LoadedExpert
from ..loading.options import LoadOptions

if TYPE_CHECKING:
    from ..inference.session import Session
    from ..manifest.records import Manifest

__all__ = ["Entry", "ExpertStatus", "RegistryCounters", "TakenOut"]


@dataclass(frozen=True)
class ExpertStatus:
    """One expert in the list of `ExpertManager.list_loaded_experts`.

    ``state``: ``"resident"``, ``"registered"`` before its first use, or ``"evicted"`` until its
    next one. ``base``: the file's name; before the first use, the name in the manifest. ``mode``:
    ``lora``, ``low-rank``, ``variant`` or ``soft-prompt``, and empty before the first use.
    ``memory``: bytes that it takes beside its base (an adapter, a variant's own weights, a soft
    prompt), 0 while not resident. ``last_used``: seconds since the epoch.
    """

    name: str
    expert: str
    version: str
    base: str
    mode: str
    memory: int
    state: str
    loaded_at: float
    last_used: float
    uses: int
    evictions: int


@dataclass
class RegistryCounters:
    """Loads are first ones, reloads those after an eviction."""

    loads: int = 0
    reloads: int = 0
    evictions: int = 0
    hits: int = 0
    load_seconds: float = 0.0


@dataclass(eq=False)
class Entry:
    """One name: how to load it, and the expert while it is resident."""

    name: str
    path: str | os.PathLike[str]
    options: LoadOptions
    manifest: Manifest
    base: str
    mode: str
    tick: int
    expert: LoadedExpert | None
    base_session: Session | None = None
    loaded_at: float = field(default_factory=time.time)
    last_used: float = field(default_factory=time.time)
    uses: int = 0
    evictions: int = 0
    in_use: int = 0
    loading: Future[LoadedExpert] | None = None
    """Set while a thread loads it for coroutines that wait."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def status(self) -> ExpertStatus:
        expert = self.expert  # it may be evicted meanwhile
        return ExpertStatus(
            name=self.name,
            expert=self.manifest.name,
            version=self.manifest.version,
            base=self.base,
            mode=self.mode,
            memory=expert.memory if expert is not None else 0,
            state="resident" if expert is not None else "evicted" if self.mode else "registered",
            loaded_at=self.loaded_at,
            last_used=self.last_used,
            uses=self.uses,
            evictions=self.evictions,
        )

    def take_out(self) -> TakenOut:
        """What is loaded, to be freed; under `bookkeeping`. The entry has it no more."""
        taken = TakenOut(self.expert, self.base_session)
        self.expert = self.base_session = None
        return taken


@dataclass(frozen=True)
class TakenOut:
    """What nobody finds any more."""

    expert: LoadedExpert | None
    base_session: Session | None

    def close(self) -> None:
        """Free it; waits for the step that runs."""
        if self.expert is not None:
            self.expert.close()
        if self.base_session is not None:
            self.base_session.release()
