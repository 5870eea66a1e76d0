"""``POST /v1/score``: how probable a given answer is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..inference.off_loop import off_loop
from ..inference.results import TokenScore
from ..prompts.tags import RAW, TEMPLATES
from ..requests.options import PromptOptions
from .asking import Asked, read_asked, read_scale
from .body import read_body
from .errors import api_error
from .fields import Fields
from .messages import read_messages, read_prompt
from .service import Service, service_of

__all__ = ["score"]


async def score(request: Request) -> Response:
    """The log-probability of each token of ``completion`` after ``prompt`` or ``messages``.

    The place in the queue is held until the computing ends, also where the client goes away: no
    more is computed than one context holds.
    """
    service = service_of(request)
    body = await read_body(request)
    asked, compute = await off_loop(partial(_read, body, service))
    observation = service.observer.request_began("score", asked.model)
    status = 200
    try:
        with service.admission.place():
            observation.queued()
            scores = await compute()
    except Exception as error:
        told = api_error(error)
        status = told.status
        raise told from error
    finally:
        observation.ended([], status)
    return JSONResponse(
        {
            "object": "score",
            "model": asked.model,
            "logprob": sum(one.logprob for one in scores),
            "tokens": [
                {
                    "id": one.token,
                    "token": one.text,
                    "logprob": one.logprob,
                    "top_id": one.top_token,
                    "top_logprob": one.top_logprob,
                }
                for one in scores
            ],
        }
    )


def _read(
    body: Fields, service: Service
) -> tuple[Asked, Callable[[], Awaitable[list[TokenScore]]]]:
    """Who judges the completion, and what computes that."""
    body.required("completion")
    completion = body.text("completion") or ""
    prompt = read_prompt(body)
    told: PromptOptions = {
        "schema": body.text("schema"),
        "template": body.choice("template", [*TEMPLATES, RAW]),
        "tool_form": "hermes",
    }
    question = prompt
    if prompt is None:
        talk = read_messages(body)
        told["messages"], question = talk.messages, talk.question
    asked = read_asked(body, service, question or "")
    scale = read_scale(body)
    compute = partial(
        service.manager.ascore,
        asked.name,
        prompt,
        completion,
        adapter_scale=1.0 if scale is None else scale,
        **told,
    )
    return asked, compute
