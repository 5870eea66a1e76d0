"""``POST /v1/route``: who ``auto`` would ask, and why."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..inference.off_loop import off_loop
from ..residency.names import BASE
from .body import read_body
from .fields import Fields
from .messages import read_messages, read_prompt
from .service import service_of

__all__ = ["route"]


async def route(request: Request) -> Response:
    """The expert for a ``prompt``, or for the last question of ``messages``, with all scores."""
    service = service_of(request)
    body = await read_body(request)
    found = await off_loop(lambda: service.manager.route(_question(body)))
    scores = [
        {
            "model": score.name,
            "score": score.score,
            "priority": score.priority,
            "keywords": list(score.keywords),
            "exclude_keywords": list(score.exclude_keywords),
            "capabilities": list(score.capabilities),
        }
        for score in found.scores
    ]
    return JSONResponse(
        {
            "object": "route",
            "model": found.expert if found.expert is not None else BASE,
            "reason": found.reason,
            "scores": scores,
        }
    )


def _question(body: Fields) -> str:
    prompt = read_prompt(body)
    return prompt if prompt is not None else read_messages(body).question
