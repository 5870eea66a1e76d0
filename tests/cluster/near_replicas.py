"""Replicas for a front that are no processes of their own, and can be made to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.types import ASGIApp, Message

from hivellm_lite.cluster.exchange import exchange
from hivellm_lite.cluster.relay import Responses, replica_lost

__all__ = ["NearReplicas"]


class NearReplicas:
    """One application that is asked for every expert.

    ``asked`` has the expert and the scope of each request. A response is lost after ``lost_after``
    messages. ``cancelled`` counts responses that were no longer wanted.
    """

    def __init__(self, app: ASGIApp, *, pages: Mapping[str, bytes] | None = None) -> None:
        self._app = app
        self._pages = pages or {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.lost_after: int | None = None
        self.cancelled = 0

    def ask(self, expert: str, scope: Mapping[str, Any], body: bytes) -> Responses:
        self.asked.append((expert, scope))
        return _Near(self, exchange(self._app, scope, body))

    async def metrics(self) -> Mapping[str, bytes]:
        return self._pages


class _Near:
    def __init__(self, replicas: NearReplicas, batches: Any) -> None:
        self._replicas = replicas
        self._batches = batches

    async def __aiter__(self) -> AsyncIterator[list[Message]]:
        left = self._replicas.lost_after
        async with aclosing(self._batches) as batches:
            async for batch in batches:
                for message in batch:
                    if left is not None:
                        if not left:
                            raise replica_lost()
                        left -= 1
                    yield [message]
        if left is not None:
            raise replica_lost()

    def cancel(self) -> None:
        self._replicas.cancelled += 1
