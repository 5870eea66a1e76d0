"""The document: paths, bodies, answers and errors."""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..._version import __version__
from .answers import ANSWERS
from .requests import REQUESTS
from .schemas import Schema, objects, ref, string

__all__ = ["openapi", "openapi_document"]

_ERRORS = {
    400: "A field cannot be used; `param` names it.",
    401: "The API key is missing or not known.",
    403: "The server does not answer under this name, or does not allow this.",
    404: "There is no such model or path.",
    408: "The body did not arrive in time.",
    409: "Another expert needs this one.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    429: "The queue is full; `Retry-After` says when to ask again.",
    500: "The server failed; its log says where.",
    503: "The server shuts down or has not enough memory.",
    504: "The answer took too long.",
}
_READING = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)
_LOOKING = (401, 403, 404, 500, 503)

_POSTS = (
    ("/v1/chat/completions", "An answer to a conversation", "ChatRequest", "Chat", True),
    ("/v1/responses", "The same in OpenAI's newer form", "ResponseRequest", "Response", True),
    ("/v1/completions", "The continuation of texts", "CompletionRequest", "Completion", True),
    ("/v1/score", "How probable a given answer is", "ScoreRequest", "Score", False),
    ("/v1/route", "Whom `auto` asks, and why", "RouteRequest", "Route", False),
    ("/v1/load_lora_adapter", "Load a package", "LoadRequest", None, False),
    ("/v1/unload_lora_adapter", "Forget an expert", "UnloadRequest", None, False),
)

_OTHERS = {
    "/openapi.json": "This document",
    "/health": "Whether the process lives",
    "/ready": "Whether requests are taken; 503 while the server shuts down",
}

_EVENT = objects(
    {"data": string("JSON in one line, or `[DONE]`."), "event": string()},
    "data",
    about="One server-sent event of the stream.",
)


async def openapi(_request: Request) -> Response:
    """``GET /openapi.json``."""
    return JSONResponse(openapi_document())


@cache
def openapi_document() -> Schema:
    """The whole document, OpenAPI 3.1."""
    paths: dict[str, Schema] = {
        path: {"post": _post(about, body, answer, streams)}
        for path, about, body, answer, streams in _POSTS
    }
    paths["/v1/models"] = {"get": _get("The models", "Models")}
    paths["/v1/models/{model}"] = {
        "get": {
            **_get("One model", "Model"),
            "parameters": [
                {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
            ],
        }
    }
    for path, about in _OTHERS.items():
        paths[path] = {"get": _get(about, None)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hivellm-lite",
            "version": __version__,
            "description": "Experts behind OpenAI's API.",
        },
        "paths": paths,
        "components": {
            "schemas": {**REQUESTS, **ANSWERS},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def _post(about: str, body: str, answer: str | None, streams: bool) -> Schema:
    content: Schema = {"text/plain": {"schema": {"type": "string"}}}
    if answer is not None:
        content = {"application/json": {"schema": ref(answer)}}
    if streams:
        content["text/event-stream"] = {"schema": _EVENT}
    codes = _READING if answer is not None else (*_READING, 409)
    return {
        "summary": about,
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}},
        "responses": {"200": {"description": "Done", "content": content}, **_errors(codes)},
    }


def _get(about: str, answer: str | None) -> Schema:
    schema = {"type": "object"} if answer is None else ref(answer)
    done = {"description": "Found", "content": {"application/json": {"schema": schema}}}
    return {"summary": about, "responses": {"200": done, **_errors(_LOOKING)}}


def _errors(codes: tuple[int, ...]) -> Schema:
    content = {"application/json": {"schema": ref("Error")}}
    return {str(one): {"description": _ERRORS[one], "content": content} for one in codes}
