"""From a request that was read to its response: admitted, computed, written as JSON or events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from ..inference.results import InferenceResult
from ..requests.options import BatchPrompt
from ..residency.choice import ExpertName
from .answers import Ended, Event, answer_events
from .connection import ClientGone, attended
from .errors import APIError, api_error, error_response
from .service import Service
from .sse import HEADERS

__all__ = ["Answering", "Form"]


class Form(Protocol):
    """How answers are written: the objects of one of OpenAI's endpoints. Made for one request.

    All methods but ``whole`` return events as bytes, for a response that is streamed.
    """

    @property
    def kind(self) -> str:
        """See `Observer.request_began`."""

    def whole(self, results: Sequence[InferenceResult]) -> Mapping[str, object]:
        """The body of a response that is not streamed."""

    def begin(self) -> Iterable[bytes]:
        """What comes before the first event."""

    def event(self, event: Event) -> Iterable[bytes]:
        """What tells of an event."""

    def finish(self, results: Sequence[InferenceResult]) -> Iterable[bytes]:
        """What comes after the last event."""

    def failure(self, error: APIError) -> Iterable[bytes]:
        """What ends a stream that has begun and cannot go on."""


@dataclass
class _Sent:
    """How far the response has come."""

    begun: bool = False
    results: dict[int, InferenceResult] = field(default_factory=dict)

    def in_order(self) -> list[InferenceResult]:
        return [self.results[index] for index in sorted(self.results)]


@dataclass(frozen=True)
class Answering:
    """An ASGI application: the response to one request.

    ``model`` is the name that the response shows; ``asks`` has one entry for each answer. A
    streamed response begins with its first event, so an error before that has its true status.
    """

    service: Service
    name: ExpertName
    model: str
    asks: Sequence[BatchPrompt]
    form: Form
    stream: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, sent = self.service, _Sent()
        observation = service.observer.request_began(self.form.kind, self.model)
        status = 500
        try:
            with service.admission.place(len(self.asks)) as place:
                observation.queued()
                events = answer_events(
                    service.manager, self.name, self.asks, observation, in_pieces=self.stream
                )
                work = self._answer(events, sent, scope, receive, send)
                await attended(work, receive, place, seconds=service.options.timeout)
            status = 200
        except ClientGone:
            status = 499
            if not sent.begun:  # for the log; the client does not see it
                await Response(status_code=status)(scope, receive, send)
        except Exception as error:
            told = api_error(error, begun=sent.begun)
            status = told.status
            if sent.begun:
                await _send(send, self.form.failure(told), more=False)
            else:
                await error_response(told)(scope, receive, send)
        finally:
            observation.ended(sent.in_order() if status == 200 else [], status)

    async def _answer(
        self,
        events: AsyncGenerator[Event, None],
        sent: _Sent,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Ended):
                    sent.results[event.index] = event.result
                if not self.stream:
                    continue
                pieces = [] if sent.begun else [*self.form.begin()]
                pieces += self.form.event(event)
                if not sent.begun:
                    sent.begun = True
                    await send(_start())
                await _send(send, pieces, more=True)
        if self.stream:
            await _send(send, self.form.finish(sent.in_order()), more=False)
        else:
            await JSONResponse(self.form.whole(sent.in_order()))(scope, receive, send)


def _start() -> dict[str, object]:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _send(send: Send, pieces: Iterable[bytes], *, more: bool) -> None:
    data = b"".join(pieces)
    if data or not more:
        await send({"type": "http.response.body", "body": data, "more_body": more})
