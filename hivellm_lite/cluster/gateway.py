"""The front: reads who is asked, and hands the request to a replica that has this expert."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..inference.off_loop import off_loop
from ..residency.names import AUTO, RESERVED
from ..server.access_log import AccessLog
from ..server.admission import Admission
from ..server.body import PARSED_AT_ONCE, read_bytes
from ..server.connection import ClientGone, attended
from ..server.errors import APIError, api_error
from ..server.experts import read_model
from ..server.health import health, ready
from ..server.hosts import guards
from ..server.keys import OPEN_PATHS, KeyGuard
from ..server.options import ServerOptions
from ..server.page import page
from ..server.request_ids import RequestIds
from ..strict_json.parsing import JsonError, parse_object
from .exchange import portable
from .front_metrics import FrontMetrics
from .relay import Relay, Replicas

__all__ = ["create_gateway", "expert_of"]

_ROUTE = "/v1/route"

GRACE = 10.0
"""Seconds beyond the limit of a request, within which a replica tells of the limit itself."""


def create_gateway(
    options: ServerOptions,
    names: Collection[str],
    replicas: Replicas,
    admission: Admission,
    *,
    log: Callable[[str], object] | None = None,
    behind_proxy: bool = False,
) -> Starlette:
    """The application that clients reach. ``names`` are the experts' names.

    The front checks the host, the key and the length of the body, and counts requests in
    ``admission``. All else is the replica's work, also the refusal of a request that makes no
    sense. ``log`` writes a line for each request; None writes none. ``behind_proxy``: one of
    Serve's proxies hands requests over, which names them in ``X-Request-Id`` itself.
    """
    metrics = FrontMetrics(replicas, admission)
    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready(admission), methods=["GET"]),
            Route("/metrics", metrics.page, methods=["GET"]),
            Route("/{path:path}", _Forward(options, names, replicas, admission, metrics)),
        ],
        middleware=[
            *([] if behind_proxy else [Middleware(RequestIds)]),
            *([Middleware(AccessLog, write=log)] if log else []),
            *guards(options),
            Middleware(KeyGuard, keys=options.keys),
        ],
    )


class _Forward:
    """An ASGI application that answers every request with a replica's response."""

    def __init__(
        self,
        options: ServerOptions,
        names: Collection[str],
        replicas: Replicas,
        admission: Admission,
        metrics: FrontMetrics,
    ) -> None:
        self._options = options
        self._names = names
        self._replicas = replicas
        self._admission = admission
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        relay = Relay()
        seconds = self._options.timeout
        limit = None if seconds is None else seconds + GRACE
        status = 499  # the client leaves, which Serve's proxies tell by cancelling this
        try:
            if scope["path"] in OPEN_PATHS:  # no key was asked for, so no replica works for it
                raise _no_such_method(scope)
            body = await read_bytes(Request(scope, receive), self._options)
            with self._admission.place() as place:
                work = self._answer(relay, scope, body, send)
                await attended(work, receive, place, seconds=limit)
        except ClientGone:
            pass
        except Exception as error:
            told = api_error(error)
            status = told.status
            await relay.fail(told, scope, receive, send)
        finally:
            if relay.is_complete and relay.status is not None:
                status = relay.status
            self._metrics.ended(status)

    async def _answer(self, relay: Relay, scope: Scope, body: bytes, send: Send) -> None:
        expert = await self._expert(scope, body)
        await relay.run(self._replicas.ask(expert, portable(scope), body), send)

    async def _expert(self, scope: Scope, body: bytes) -> str:
        """The expert whose replica should answer; ``""`` for none in particular."""
        if not body:
            return ""
        if len(body) > PARSED_AT_ONCE:
            found = await off_loop(lambda: expert_of(body, self._names))
        else:
            found = expert_of(body, self._names)
        if found == AUTO:
            found = await self._routed(scope, body)
        return "" if found in RESERVED else found

    async def _routed(self, scope: Scope, body: bytes) -> str:
        """Whom ``auto`` asks, as any replica says. ``""`` where the replica refuses the body."""
        asked = {
            **portable(scope),
            "path": _ROUTE,
            "raw_path": _ROUTE.encode(),
            "query_string": b"",
        }
        responses = self._replicas.ask("", asked, body)
        status, answer = 0, b""
        try:
            async for batch in responses:
                for message in batch:
                    if message["type"] == "http.response.start":
                        status = message["status"]
                    else:
                        answer += message.get("body", b"")
        except BaseException:
            responses.cancel()
            raise
        found = json.loads(answer)["model"] if status == 200 else ""
        return found if found in self._names else ""


def _no_such_method(scope: Scope) -> APIError:
    """What the server says of a path that it has, asked in another way."""
    message = f"Method Not Allowed: {scope['method']} {scope['path']}"
    return APIError(405, message, code="http_error", headers={"Allow": "GET, HEAD"})


def expert_of(body: bytes, names: Collection[str]) -> str:
    """The ``model`` that a body names: an expert, ``auto`` or ``base``; ``""`` where it names none.

    For a blend, this is the expert of the largest weight. A body that makes no sense goes to any
    replica, which refuses it.
    """
    try:
        model = parse_object(body, source="the body", max_bytes=len(body)).value.get("model")
        found = read_model(model, names) if isinstance(model, str) else ""
    except (JsonError, RecursionError, APIError):
        return ""
    if isinstance(found, str):
        return found
    return max(found, key=lambda name: abs(found[name]))
