"""The body of a request: bounded, in time, and JSON with an object at its root."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from ..inference.off_loop import off_loop
from ..strict_json.parsing import JsonError, parse_object
from .errors import APIError
from .fields import Fields
from .options import ServerOptions
from .service import service_of

__all__ = ["read_body", "read_bytes"]

PARSED_AT_ONCE = 1 << 16
"""Bytes of a body that is parsed on the event loop; longer ones would hold up other answers."""


async def read_body(request: Request) -> Fields:
    """The fields of the body, within the server's limits of size and time.

    Raises APIError for another type of content, a body that is too long, and what is not JSON.
    Asking for JSON's type keeps web pages from sending requests that browsers send unasked.
    """
    options = service_of(request).options
    max_bytes = options.max_body
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise APIError(
            415,
            f"The body's Content-Type is '{kind[:60]}'. Send JSON, as 'application/json'.",
            code="unsupported_media_type",
        )
    data = await read_bytes(request, options)

    def parse() -> Fields:
        try:
            return Fields(parse_object(data, source="the body", max_bytes=max_bytes).value)
        except (JsonError, RecursionError) as error:
            raise APIError(400, str(error), code="invalid_json") from None

    return parse() if len(data) <= PARSED_AT_ONCE else await off_loop(parse)


async def read_bytes(request: Request, options: ServerOptions) -> bytes:
    """The body as it is. Raises APIError for one that is too long or does not arrive in time."""
    try:
        return await asyncio.wait_for(_received(request, options.max_body), options.timeout)
    except (asyncio.TimeoutError, TimeoutError):
        message = "The body did not arrive in time."
        raise APIError(408, message, code="request_timeout") from None
    except ClientDisconnect:
        message = "The client closed the connection."
        raise APIError(499, message, code="client_disconnected") from None


async def _received(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > max_bytes:
        raise _too_long(max_bytes)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise _too_long(max_bytes)
    return bytes(data)


def _too_long(max_bytes: int) -> APIError:
    message = f"The body is longer than {max_bytes:,} bytes, the most that this server reads."
    return APIError(413, message, code="request_too_large", headers={"Connection": "close"})
