"""Replicas that are asked through Ray Serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from starlette.types import Message

from ..server.admission import RETRY_AFTER
from ..server.errors import APIError
from .relay import Responses, replica_lost

__all__ = ["ServeReplicas"]

logger = logging.getLogger("hivellm_lite.cluster")

ANSWERS_IN = 5.0
"""Seconds that the replicas have for their pages of metrics. Serve gives all of them or none."""


class ServeReplicas:
    """The replicas of a deployment; see `Replicas`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    def ask(self, expert: str, scope: Mapping[str, Any], body: bytes) -> Responses:
        """See `Replicas`. Serve prefers replicas that hold the expert and have a free place.

        Ray's metrics break on names that are not ASCII, so Serve gets them escaped.
        """
        chosen = self._handle.options(multiplexed_model_id=quote(expert), stream=True)
        return _Responses(chosen.answer.remote(scope, body))

    async def metrics(self) -> Mapping[str, bytes]:
        """See `Replicas`."""
        asked = self._handle.broadcast("metrics").results_async(return_exceptions=True)
        try:
            found = await asyncio.wait_for(asked, ANSWERS_IN)
        except (RayError, RayServeException, asyncio.TimeoutError, TimeoutError):
            return {}
        return dict(one for one in found if isinstance(one, tuple))


class _Responses:
    """The messages of one response. Raises APIError instead of Ray's errors."""

    def __init__(self, generator: DeploymentResponseGenerator) -> None:
        self._generator = generator

    async def __aiter__(self) -> AsyncIterator[list[Message]]:
        try:
            async for batch in self._generator:
                yield batch
        except BackPressureError:
            raise APIError(
                429,
                "Too many requests wait already. Try again later.",
                code="queue_full",
                headers=RETRY_AFTER,
            ) from None
        except RayTaskError as error:  # the replica is well; its text may quote a prompt
            logger.error("%s in a replica, whose log says where", type(error.cause).__name__)
            raise APIError(
                500,
                "The server failed at this request. The replica's log says where.",
                code="internal_error",
            ) from None
        except (RayError, RayServeException) as error:
            logger.warning("an answer was lost: %s", type(error).__name__)
            raise replica_lost() from error

    def cancel(self) -> None:
        """Stop the replica's work."""
        self._generator.cancel()
