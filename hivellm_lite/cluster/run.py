"""Running a fleet until a signal: what ``hivellm-lite serve --ray`` does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import LoadError
from ..inference.off_loop import LOADING, off_loop
from ..server import run as server
from ..server.admission import Admission
from .application import EXPERTS, create_replicas
from .connection import claimed, connected
from .gateway import create_gateway
from .options import Fleet

__all__ = ["run"]

_ERROR = re.compile(r"^[\w.]+(?:Error|Exception|Exit): ", re.MULTILINE)
"""How Python writes an error after its traceback."""

POLL = 0.2
"""Seconds between two looks at how far the replicas are."""

PATIENCE = 15.0
"""Seconds after which the user is told what the replicas wait for."""

_DEPLOYING = threading.Lock()
"""Held while Serve is told what to deploy, which must not come after it is told to delete."""


def run(
    read: Callable[[], Fleet],
    on_ready: Callable[[str, Fleet], object],
    say: Callable[[str], object],
    *,
    log: Callable[[str], object] | None = None,
) -> None:
    """Deploy the fleet that ``read`` returns, and hand requests over to it until SIGTERM or Ctrl-C.
    Answers that run then may end, and the replicas end, too.

    SIGHUP reads the fleet again and replaces the replicas one after the other. A fleet that cannot
    be used then changes nothing, and a second signal gives up a change that waits for something.
    Ray is the cluster that ``RAY_ADDRESS`` names or that runs on this machine, or else one of this
    machine alone.

    ``on_ready`` gets the address, once requests are answered; ``say`` gets lines for the operator;
    ``log`` a line for each request. Must be called on the main thread, which receives signals.
    Raises ValueError and OSError from ``read``, LoadError where no cluster is reached or no replica
    can be made, and OSError where the address cannot be used.
    """
    from ray import serve

    fleet = read()
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with _deaf_to_hangups(say), connected(""), claimed(fleet.cluster.name):
        serve.start(proxy_location="Disabled")
        try:
            with _until_told() as told_to_stop:
                _deploy(fleet, say, told_to_stop)
            if not told_to_stop.is_set():
                _Front(fleet, read, on_ready, say, log).run()
        finally:
            serve.delete(fleet.cluster.name)


class _Front:
    """Answers clients. What they reach is replaced when the fleet is read again."""

    def __init__(
        self,
        fleet: Fleet,
        read: Callable[[], Fleet],
        on_ready: Callable[[str, Fleet], object],
        say: Callable[[str], object],
        log: Callable[[str], object] | None,
    ) -> None:
        from ray import serve

        from .handles import ServeReplicas

        self._fleet = fleet
        self._read, self._on_ready, self._say, self._log = read, on_ready, say, log
        self._replicas = ServeReplicas(serve.get_deployment_handle(EXPERTS, fleet.cluster.name))
        self._admission = Admission(fleet.server.queue)
        self._wanted: Fleet | None = None
        self._given_up = threading.Event()
        self._changing: asyncio.Task[None] | None = None
        self._app = self._gateway(fleet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def run(self) -> None:
        """Returns when the server has been told to stop and all answers have ended."""
        fleet = self._fleet
        try:
            server.serve(
                self,
                fleet.server,
                self._admission,
                lambda address: self._on_ready(address, fleet),
                on_hangup=self._on_hangup,
            )
        finally:
            self._given_up.set()
            with _DEPLOYING:  # a thread may be at it
                pass

    def _gateway(self, fleet: Fleet) -> ASGIApp:
        names = frozenset(fleet.packages)
        return create_gateway(fleet.server, names, self._replicas, self._admission, log=self._log)

    def _on_hangup(self) -> None:
        if self._admission.draining:
            return
        try:
            fleet = self._read()
            if fleet.cluster.name != self._fleet.cluster.name:
                raise ValueError("[cluster] name: cannot change while the fleet runs")
        except (ValueError, OSError) as error:
            self._say(f"The fleet stays as it is: {error}")
            return
        self._wanted = fleet
        self._given_up.set()
        if self._changing is None or self._changing.done():
            self._changing = asyncio.get_running_loop().create_task(self._change())

    async def _change(self) -> None:
        while (fleet := self._wanted) is not None:
            self._wanted = None
            try:
                await self._deploy(fleet)
            except Exception as error:  # Ray has many; a replica that was replaced is missing now
                if self._wanted is None:
                    self._say(f"The fleet becomes again what it was: {error}")
                    await self._return()
            else:
                if self._wanted is None:
                    self._adopt(fleet)

    def _adopt(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._admission.limit = fleet.server.queue
        self._app = self._gateway(fleet)
        self._say("The fleet is deployed as the file now says.")

    async def _return(self) -> None:
        try:
            await self._deploy(self._fleet)
        except Exception as error:
            self._say(f"The fleet could not become what it was: {error}\nSend SIGHUP to try again.")

    async def _deploy(self, fleet: Fleet) -> None:
        self._given_up.clear()
        work = partial(_deploy, fleet, self._say, self._given_up)
        await off_loop(work, threads=LOADING)


def _deploy(fleet: Fleet, say: Callable[[str], object], given_up: threading.Event) -> None:
    """Return when all replicas answer, or when this is given up.

    Raises LoadError where the replicas cannot be made.
    """
    from ray import serve

    name = fleet.cluster.name
    target = serve.RunTarget(create_replicas(fleet), name=name, route_prefix=None)
    with _DEPLOYING:
        if given_up.is_set():
            return
        serve.run_many([target], wait_for_applications_running=False)
    told, began = "", time.monotonic()
    while not given_up.wait(POLL):
        status = serve.status().applications[name]
        if status.status == "RUNNING":
            return
        messages = [one.message for one in status.deployments.values() if one.message]
        message = "\n".join(messages) or status.message
        if status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise LoadError(f"no replica can be made: {_cause(message)}")
        if message != told and time.monotonic() - began > PATIENCE:
            told = message
            say(f"Waiting for the replicas: {message}")


def _cause(message: str) -> str:
    """The last error in a message with a traceback, or all of it."""
    found = list(_ERROR.finditer(message))
    return message[found[-1].end() :].strip() if found else message


@contextlib.contextmanager
def _until_told() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set inside."""
    told = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: told.set()) for number in numbers]
    try:
        yield told
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _deaf_to_hangups(say: Callable[[str], object]) -> Iterator[None]:
    """SIGHUP does nothing inside, but while the front answers: it would end this process and leave
    the replicas.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(
        signal.SIGHUP, lambda *_: say("SIGHUP means nothing yet: the fleet does not answer.")
    )
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
