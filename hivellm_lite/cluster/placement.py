"""How many workers a batch gets on a cluster, and what each of them takes of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import LoadError

__all__ = ["Placement", "plan"]


@dataclass(frozen=True)
class Placement:
    """``cpus`` and ``gpus``: what Ray reserves for one worker."""

    n_workers: int
    cpus: int
    gpus: int


def plan(
    nodes: Iterable[Mapping[str, Any]], *, workers: int | None, cpus: int | None, use_gpus: bool
) -> Placement:
    """Workers for these nodes, which are those of ``ray.nodes()``.

    If there are GPUs, and they shall be used, each of them gets a worker. Otherwise the smallest
    machine gets one worker, and larger ones as many as fit of this size; more ``workers`` than
    machines share the smallest one. Raises LoadError if no node is large enough.
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    n_gpus = sum(int(one.get("GPU", 0)) for one in alive) if use_gpus else 0
    sizes = [int(one["CPU"]) for one in alive if one.get("CPU", 0) >= 1]
    if cpus is None:
        each = -(-(workers or 1) // max(1, len(sizes)))
        cpus = 1 if n_gpus else max(1, min(sizes, default=1) // each)
    if max(sizes, default=0) < cpus:
        raise LoadError(
            f"no machine of the Ray cluster has {cpus} CPUs for a worker: there are "
            f"{', '.join(map(str, sorted(sizes))) or 'none'}"
        )
    fitting = n_gpus or sum(size // cpus for size in sizes)
    return Placement(workers or fitting, cpus, 1 if n_gpus else 0)
