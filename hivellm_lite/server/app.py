"""The application: paths, keys, errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..manager import ExpertManager
from .admission import Admission
from .chat import chat
from .completions import completions
from .errors import APIError, api_error, error_response
from .keys import KeyGuard
from .lora_adapters import load_adapter, unload_adapter
from .models import get_model, list_models
from .observing import NOBODY, Observer
from .openapi.document import openapi
from .options import ServerOptions
from .request_ids import RequestIds
from .responses.reading import responses
from .route import route
from .score import score
from .service import Service

__all__ = ["Endpoint", "create_app"]


def create_app(
    manager: ExpertManager,
    options: ServerOptions,
    observer: Observer = NOBODY,
    *,
    admission: Admission | None = None,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    """OpenAI's API for the experts of ``manager``.

    ``admission`` counts the answers; without it, `ServerOptions.queue` is the limit. ``routes`` are
    more paths beside the API's. ``middleware`` comes before the check of keys, the
    first one outermost. The application's ``state.service`` is a `Service`. The caller closes the
    manager.
    """
    guard = Middleware(KeyGuard, keys=options.keys)
    app = Starlette(
        routes=[*_routes(), *routes],
        middleware=[Middleware(RequestIds), *middleware, guard],
        exception_handlers={HTTPException: _http_error},
    )
    app.state.service = Service(manager, options, admission or Admission(options.queue), observer)
    return app


def _routes() -> list[BaseRoute]:
    return [
        Route("/v1/chat/completions", Endpoint(chat), methods=["POST"]),
        Route("/v1/completions", Endpoint(completions), methods=["POST"]),
        Route("/v1/responses", Endpoint(responses), methods=["POST"]),
        Route("/v1/score", Endpoint(score), methods=["POST"]),
        Route("/v1/route", Endpoint(route), methods=["POST"]),
        Route("/v1/load_lora_adapter", Endpoint(load_adapter), methods=["POST"]),
        Route("/v1/unload_lora_adapter", Endpoint(unload_adapter), methods=["POST"]),
        Route("/v1/models", Endpoint(list_models), methods=["GET"]),
        Route("/v1/models/{model:path}", Endpoint(get_model), methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]


class Endpoint:
    """An ASGI application that answers one path, and turns every error into OpenAI's form.

    ``handle`` reads the request and returns what answers it, which may take as long as it likes.
    """

    def __init__(self, handle: Callable[[Request], Awaitable[ASGIApp]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp
        try:
            answer = await self._handle(Request(scope, receive))
        except Exception as error:
            answer = error_response(api_error(error))
        await answer(scope, receive, send)


async def _http_error(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: an unknown path, another method."""
    assert isinstance(error, HTTPException)  # registered for it  # noqa: S101
    path = request.url.path[:200]
    if error.status_code == 404:
        message, code = f"There is nothing at {request.method} {path}.", "unknown_url"
    else:
        message, code = f"{error.detail}: {request.method} {path}", "http_error"
    return error_response(
        APIError(error.status_code, message, code=code, headers=error.headers or {})
    )
