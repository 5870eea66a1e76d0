"""A process that answers lines of a batch: an actor of Ray with a manager of experts."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .._version import __version__
from ..batch.answering import BatchLine, Record, answer
from ..cache.digests import digest_file
from ..cache.store import Cache
from ..errors import ExpertError, LoadError
from ..hardware import physical_cores
from ..hub import Hub
from ..inference.off_loop import LOADING, off_loop, wait_off_loop
from ..loading.files import find_package
from ..manager import ExpertManager, registry_of
from ..residency.names import BASE

__all__ = ["BatchJob", "BatchWorker"]


@dataclass(frozen=True)
class BatchJob:
    """What a worker is made from: plain data, which Ray sends to other machines.

    ``packages``: by expert, the path or name of its package and the digest, an expert before those
    that require it. ``files``: the digests of other files by path. ``load``: options of
    `ExpertManager`. ``batch_size``: answers computed together. ``cpus``: those of the worker.
    """

    packages: Mapping[str, tuple[str, str]]
    files: Mapping[Path, str]
    load: Mapping[str, Any]
    batch_size: int
    cpus: int


class BatchWorker:
    """Answers blocks of lines, several at once.

    An expert is loaded at its first line, so that it takes memory, and time to convert, only where
    its lines are.
    """

    async def start(self, version: str, job: BatchJob) -> str:
        """Find the packages, and return this machine's name. Raises LoadError where this machine
        has another version of this library, other packages or other files.
        """
        with _on_this_machine():
            if version != __version__:
                raise LoadError(
                    f"hivellm-lite is {__version__} here, and {version} where the command runs\n"
                    "Install the same version on every machine of the cluster."
                )
            self._packages = job.packages
            self._places = asyncio.Semaphore(job.batch_size)
            n_threads = job.load["n_threads"] or min(job.cpus, physical_cores())
            options = {**job.load, "n_threads": n_threads}
            self._manager = ExpertManager(**options, max_streams=job.batch_size)
            await off_loop(partial(self._register, job), threads=LOADING)
        return platform.node()

    async def answer(self, lines: Sequence[BatchLine]) -> list[Record]:
        """The records of these lines. Raises LoadError where an expert cannot be loaded here."""
        return await asyncio.gather(*map(self._answer, lines))

    async def _answer(self, line: BatchLine) -> Record:
        async with self._places:
            with _on_this_machine():
                await self._load(line.expert)
            return await answer(line, self._manager)

    def _register(self, job: BatchJob) -> None:
        load = job.load
        cache, hub = Cache(load["cache_dir"]), Hub.from_environment(offline=load["offline"])
        for name, (path, digest) in job.packages.items():
            package = find_package(
                path, cache=cache, hub=hub, verify=load["verify"], signatures=load["signatures"]
            )
            _check_same(path, package.digest, digest)
            self._manager.register_expert(name, package.source)
        for file, digest in job.files.items():
            _check_same(file, digest_file(file), digest)

    async def _load(self, asked: str | Mapping[str, float]) -> None:
        """Load what a line asks for. An error here is the machine's fault, not the line's."""
        registry = registry_of(self._manager)
        if asked == BASE:
            entries = registry.entries()[:1]
        else:
            names = (asked,) if isinstance(asked, str) else asked
            entries = [registry.entry(name) for name in names if name in self._packages]
        for entry in entries:
            if (loading := registry.loading(entry)) is not None:
                await wait_off_loop(loading)


def _check_same(path: object, found: str, wanted: str) -> None:
    if found != wanted:
        raise LoadError(
            f"{path} is another file here than where the command runs: its SHA-256 is "
            f"{found[:12]}…, and not {wanted[:12]}…\nGive every machine the same file."
        )


@contextlib.contextmanager
def _on_this_machine() -> Iterator[None]:
    """What is raised inside is raised as a LoadError that names the machine."""
    try:
        yield
    except (ExpertError, ValueError, OSError, MemoryError) as error:
        raise LoadError(f"{platform.node()}: {str(error) or type(error).__name__}") from None
