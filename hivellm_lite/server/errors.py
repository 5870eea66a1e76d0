"""Errors as OpenAI's API writes them, each with its true HTTP status.

::

    {"error": {"message": "…", "type": "invalid_request_error", "param": "model", "code": "…"}}
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ContextLengthError, GrammarError, InferenceError, LoadError, OutOfMemoryError

if TYPE_CHECKING:
    from starlette.responses import JSONResponse

__all__ = ["APIError", "api_error", "error_response", "invalid", "unsupported"]

logger = logging.getLogger("hivellm_lite.server")

_ARGUMENT = re.compile(r"(\w+)(?:\[\d+\])?(?:=|: )")
"""How the library's messages begin that are about one argument: ``top_p=0: must be …``."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class APIError(Exception):
    """What a client is told instead of an answer.

    ``status``: the HTTP status. ``param``: the field of the body at fault, such as
    ``messages[0].content``. ``code``: a word that programs compare, such as ``model_not_found``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, object]:
        """The error as an object, which is also an event of a stream."""
        kind = _TYPES.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid(param: str, message: str, *, code: str = "invalid_value") -> APIError:
    """The error of a field whose value cannot be used."""
    return APIError(400, message, param=param, code=code)


def unsupported(param: str, advice: str = "Leave it out.") -> APIError:
    """The error of a field that OpenAI's API has and this server has not."""
    message = f"Unsupported parameter: '{param}' is not supported by this server. {advice}"
    return invalid(param, message, code="unsupported_parameter")


def error_response(error: APIError) -> JSONResponse:
    """The whole response of an error."""
    from starlette.responses import JSONResponse  # what reads requests alone does without it

    return JSONResponse(error.body, error.status, error.headers)


def api_error(error: Exception, *, begun: bool = False) -> APIError:
    """What a client is told of an error of the library.

    ``begun``: the answer was being computed, so the request is not at fault. What concerns this
    machine alone, such as the path of a file, goes to the log.
    """
    if isinstance(error, APIError):
        return error
    if isinstance(error, ContextLengthError):
        return APIError(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, GrammarError):
        return APIError(400, str(error), code="invalid_grammar")
    if isinstance(error, OutOfMemoryError):
        logger.error("%s", error)
        return APIError(
            503,
            "The server has not enough memory for this request now. Try again later.",
            code="out_of_memory",
            headers={"Retry-After": "5"},
        )
    if isinstance(error, LoadError):
        logger.error("%s", error)
        message = "The expert cannot be loaded. The server's log says why."
        return APIError(500, message, code="expert_not_loaded")
    if isinstance(error, InferenceError) and not begun:
        return APIError(400, str(error), code="invalid_request")
    if isinstance(error, InferenceError):
        return APIError(500, str(error), code="inference_failed")
    if isinstance(error, (ValueError, TypeError)) and not begun:
        named = _ARGUMENT.match(str(error))
        return APIError(400, str(error), param=named[1] if named else None, code="invalid_value")
    return _defect(error)


def _defect(error: Exception) -> APIError:
    """What is told of an error that nobody expected. Its text may quote a prompt, so the log has
    only its type and where it happened.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s in a request:\n%s", type(error).__name__, where)
    message = "The server failed at this request. The server's log says where."
    return APIError(500, message, code="internal_error")
