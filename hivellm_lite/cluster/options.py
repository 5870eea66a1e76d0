"""What a fleet is told: its experts, and how many replicas compute them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..loading.options import LoadOptions, LoadSettings
from ..memory_estimate import parse_bytes
from ..residency.names import RESERVED
from ..server.options import ServerOptions

__all__ = ["ClusterOptions", "Fleet"]


@dataclass(frozen=True)
class ClusterOptions:
    """How a fleet is spread over the machines of a Ray cluster.

    ``replicas``: processes that compute, each with a base model of its own. ``ongoing``: answers
    that one replica takes at once; an expert in more demand spreads to another replica. ``cpus``,
    ``gpus``: what one replica takes of a machine, by which Ray places it. ``cpus`` is also the
    number of threads that compute, unless `LoadOptions` says another.

    ``max_replicas``: Ray starts replicas, up to this number, where each has more than half of
    ``ongoing`` to do; None keeps ``replicas``. ``upscale_delay``, ``downscale_delay``: seconds for
    which this must be so before a replica is added, and the contrary before one is removed.

    ``name``: the application's name in Ray Serve, where a cluster serves several fleets.
    ``fronts``: processes that read requests, where Serve's proxies are what clients reach.
    """

    replicas: int = 1
    ongoing: int = 16
    max_replicas: int | None = None
    upscale_delay: float = 30.0
    downscale_delay: float = 600.0
    name: str = "hivellm"
    fronts: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not self.name:
            raise ValueError("name: must not be empty")
        for name in ("replicas", "ongoing", "fronts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be 1 or more")
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas={self.max_replicas}: must be replicas={self.replicas} or more"
            )
        for name in ("cpus", "gpus", "upscale_delay", "downscale_delay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}: must be 0 or more, and finite")
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus={self.gpus}: parts are possible of one GPU only")


@dataclass(frozen=True)
class Fleet:
    """Everything that the processes of a fleet are made from.

    ``packages``: each expert's package, as every machine finds it: a path that all of them have, a
    name of the registry, or a repository of the Hub. ``max_loaded_experts``: experts in the memory
    of one replica; None keeps all. ``server``: options of the front and of the replicas' servers.
    """

    packages: Mapping[str, str]
    server: ServerOptions = field(default_factory=ServerOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    load: LoadOptions = field(default_factory=lambda: LoadOptions())
    max_loaded_experts: int | None = None
    max_memory: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no replica could work with: a fleet that runs would be replaced by none."""
        if not self.packages:
            raise ValueError("packages: name at least one package")
        for name in self.packages:
            if not name or name in RESERVED:
                raise ValueError(f"packages: {name!r} cannot be an expert's name")
        if self.server.allow_loading is not None:
            raise ValueError(
                "allow_loading: a fleet's experts are those of its configuration\n"
                "Add the package there and deploy again."
            )
        if self.max_loaded_experts is not None and self.max_loaded_experts < 1:
            raise ValueError(f"max_loaded_experts={self.max_loaded_experts}: must be 1 or more")
        if self.max_memory is not None:
            parse_bytes(self.max_memory)
        LoadSettings.of(self.load, caller="Fleet")
