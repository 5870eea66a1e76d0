"""A process that computes: a manager of experts, and the server over it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import ray
from ray import serve
from starlette.types import Message

from ..inference.off_loop import off_loop
from ..loading.options import LoadOptions
from ..manager import ExpertManager
from ..server.application import create_server
from .exchange import exchange
from .options import Fleet

__all__ = ["REPLICA_HEADER", "Replica"]

REPLICA_HEADER = b"x-hivellm-replica"
"""The response's header that names Ray's node and the replica, as ``NODE/REPLICA``."""

_REQUEST_ID = b"x-request-id"
"""The front, or Serve's proxy before it, has named the request."""

_METRICS: Mapping[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/metrics",
    "raw_path": b"/metrics",
    "query_string": b"",
    "root_path": "",
    "http_version": "1.1",
    "scheme": "http",
    "headers": [],
}
"""A request for the page of metrics."""


class Replica:
    """Answers requests that a front hands over. A deployment of Ray Serve; see `serve.deployment`.

    All experts are known from the start; the first one is loaded then, so a base that is missing
    fails the deployment, and the others at their first use. Serve and the manager both forget the
    expert that was asked least recently beyond ``max_loaded_experts``.
    """

    def __init__(self, fleet: Fleet) -> None:
        """Raises LoadError or one of its kinds where the first expert cannot be loaded."""
        self._fleet = fleet
        node = ray.get_runtime_context().get_node_id()
        replica = serve.get_replica_context().replica_id.unique_id
        self._name = f"{node}/{replica}"
        load_options = LoadOptions(n_threads=max(1, int(fleet.cluster.cpus)))
        load_options.update(fleet.load)
        self._manager = ExpertManager(
            max_loaded_experts=fleet.max_loaded_experts,
            max_memory=fleet.max_memory,
            **load_options,
        )
        try:
            for place, (name, path) in enumerate(fleet.packages.items()):
                load = self._manager.register_expert if place else self._manager.load_expert
                load(name, path)
        except BaseException:
            self._manager.close()
            raise
        self._app = create_server(self._manager, fleet.server)
        bound = fleet.max_loaded_experts or -1  # all

        keep = serve.multiplexed(_name_of, max_num_models_per_replica=bound)
        self._keep: Callable[[str], Awaitable[str]] = keep

    async def answer(
        self, scope: Mapping[str, Any], body: bytes
    ) -> AsyncGenerator[list[Message], None]:
        """The messages of the server's response to one request, as `exchange` gives them."""
        if name := serve.get_multiplexed_model_id():
            await self._keep(name)
        async with contextlib.aclosing(exchange(self._app, scope, body)) as batches:
            async for batch in batches:
                if batch[0]["type"] == "http.response.start":
                    kept = [one for one in batch[0]["headers"] if one[0].lower() != _REQUEST_ID]
                    batch[0]["headers"] = [*kept, (REPLICA_HEADER, self._name.encode())]
                yield batch

    async def metrics(self) -> tuple[str, bytes]:
        """The replica's name, and its page of metrics."""
        page = b""
        async for batch in exchange(self._app, _METRICS, b""):
            page += b"".join(message.get("body", b"") for message in batch)
        return self._name, page

    async def check_health(self) -> None:
        """Called by Serve, which replaces a replica whose event loop does not answer in time."""
        if (ttl := self._fleet.server.ttl) is not None:
            await off_loop(partial(self._manager.evict_idle, ttl))

    def __del__(self) -> None:
        """Called by Serve when a replica ends, after its requests."""
        if hasattr(self, "_manager"):
            self._manager.close()


async def _name_of(expert: str) -> str:
    """What Serve keeps for an expert. The expert itself is the manager's."""
    return expert
