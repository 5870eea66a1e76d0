"""From a replica to a client: the response as it comes, and what is said where it breaks off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from ..server.errors import APIError, error_response
from ..server.sse import DONE, event

__all__ = ["Relay", "Replicas", "Responses", "replica_lost"]

_TYPED = "/v1/responses"
"""The path whose events have types and a number each, and no ``[DONE]``."""


class Responses(Protocol):
    """The messages of one response as they come from a replica, several in one list.

    Reading raises APIError where no replica could be asked, or where it is lost.
    """

    def __aiter__(self) -> AsyncIterator[list[Message]]: ...

    def cancel(self) -> object:
        """Stop the replica's work. Does nothing where it has ended."""


class Replicas(Protocol):
    """The processes that compute."""

    def ask(self, expert: str, scope: Mapping[str, Any], body: bytes) -> Responses:
        """Hand a request over to a replica that has an expert in memory, or to any for ``""``."""

    async def metrics(self) -> Mapping[str, bytes]:
        """Each replica's page of metrics, by its name; none where they do not come in time."""


class Relay:
    """Sends a replica's response to a client."""

    def __init__(self) -> None:
        self._start: Message | None = None
        self._n_events = 0
        self.is_complete = False
        """Whether the last message has been sent."""

    @property
    def status(self) -> int | None:
        """The response's status, once there is one."""
        return None if self._start is None else int(self._start["status"])

    async def run(self, responses: Responses, send: Send) -> None:
        """Send everything. The replica's work is stopped if this ends before it.

        Raises what reading raises, and APIError where a response breaks off.
        """
        try:
            async for batch in responses:
                for message in batch:
                    if message["type"] == "http.response.start":
                        self._start = message
                    else:
                        self._n_events += message.get("body", b"").count(b"\n\n")
                        self.is_complete = not message.get("more_body", False)
                    await send(message)
                if self.is_complete:
                    return
            raise replica_lost()
        finally:
            if not self.is_complete:
                responses.cancel()

    async def fail(self, error: APIError, scope: Scope, receive: Receive, send: Send) -> None:
        """End the response with an error: a stream that has begun, by an event.

        Raises ConnectionError where anything else has begun: what is cut off must not look whole.
        """
        if self._start is None:
            await error_response(error)(scope, receive, send)
        elif _is_stream(self._start):
            data = self._last_event(scope["path"], error)
            await send({"type": "http.response.body", "body": data, "more_body": False})
        else:
            raise ConnectionError(error.message)

    def _last_event(self, path: str, error: APIError) -> bytes:
        if path != _TYPED:
            return event(error.body) + DONE
        told = {"code": error.code, "message": error.message, "param": error.param}
        numbered = {"type": "error", "sequence_number": self._n_events, **told}
        return event(numbered, name="error")


def replica_lost() -> APIError:
    """What a client is told whose answer was being computed by a process that is gone."""
    return APIError(
        503,
        "The machine that computed this answer is gone. Ask again.",
        code="replica_lost",
        headers={"Retry-After": "1"},
    )


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start["headers"]
    )
