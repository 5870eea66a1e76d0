"""Running the server until it is told to stop, and then letting answers end.

SIGTERM and Ctrl-C begin a drain: no request is admitted, ``/ready`` says 503, and running answers
have ``drain`` seconds to end. Then they are cancelled, and the server ends. A second signal
cancels at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ..inference.off_loop import off_loop
from ..manager import ExpertManager
from .admission import Admission
from .options import ServerOptions

__all__ = ["evict_idle", "serve"]

logger = logging.getLogger("hivellm_lite.server")

CANCELLED = 5.0
"""Seconds that cancelled answers have to end. They end within a step."""

MAX_PAUSE = 30.0
"""Seconds between two looks at idle experts, at most."""

LEAST_CONNECTIONS = 1000
"""Connections that are open at once, at least; each takes a file descriptor. One more gets 503."""

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open; longer than usual proxies keep one."""


def serve(
    app: ASGIApp,
    options: ServerOptions,
    admission: Admission,
    on_listening: Callable[[str], object] = lambda _: None,
    *,
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    on_hangup: Callable[[], None] | None = None,
) -> None:
    """Serve ``app`` until a signal; returns when all answers have ended.

    ``admission`` counts the requests of ``app``. ``on_listening`` gets the address, such as
    ``http://127.0.0.1:8000``, once clients can connect. ``beside`` are run as tasks meanwhile, and
    cancelled. ``on_hangup`` is called on the event loop at SIGHUP, where the system has it; without
    it, the signal keeps its meaning. Must be called on the main thread, which receives signals.
    Raises OSError where the address cannot be used.
    """
    asyncio.run(_serve(app, options, admission, on_listening, beside, on_hangup))


async def _serve(
    app: ASGIApp,
    options: ServerOptions,
    admission: Admission,
    on_listening: Callable[[str], object],
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    on_hangup: Callable[[], None] | None,
) -> None:
    config = uvicorn.Config(
        app,
        options.host,
        options.port,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=max(LEAST_CONNECTIONS, 4 * options.queue),
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(CANCELLED),
    )
    server = _Server(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    n_signals = 0

    def stop() -> None:
        nonlocal n_signals
        n_signals += 1
        if n_signals > 1:
            admission.stop_all()
        stopping.set()

    with _signals(loop, stop, on_hangup):
        running = asyncio.create_task(_running(server, options))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        if running.done():
            running.result()  # raises
        on_listening(_address(server, options))
        stopped = asyncio.create_task(stopping.wait())
        tasks = [asyncio.create_task(work()) for work in beside]
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await _drain(admission, options.drain)
        server.should_exit = True
        stopped.cancel()
        await running


async def _running(server: uvicorn.Server, options: ServerOptions) -> None:
    with contextlib.suppress(SystemExit):  # where it cannot listen; its log has said why
        await server.serve()
    if not server.started:
        raise OSError(f"cannot listen on {options.host}:{options.port}")


async def _drain(admission: Admission, seconds: float) -> None:
    """Let answers end for some seconds; then cancel them."""
    admission.drain()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(admission.emptied(), seconds)
        return
    logger.warning("%d answers were cancelled after %g s", admission.n_busy, seconds)
    admission.stop_all()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(admission.emptied(), CANCELLED)


async def evict_idle(manager: ExpertManager, ttl: float) -> None:
    """Take experts out of memory that nobody has asked for ``ttl`` seconds. Ends when cancelled."""
    while True:
        await asyncio.sleep(min(ttl / 4, MAX_PAUSE))
        try:
            await off_loop(partial(manager.evict_idle, ttl))
        except Exception:  # such as a library's error while it frees a model; the next ones count
            logger.exception("idle experts could not be taken out of memory")


class _Server(uvicorn.Server):
    """Leaves signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[], None],
    on_hangup: Callable[[], None] | None,
) -> Iterator[None]:
    """Call ``stop`` on SIGTERM and SIGINT inside, and ``on_hangup`` on SIGHUP.

    Afterwards they mean what they meant before: the event loop itself would reset them.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)
    if sys.platform != "win32":
        handlers = dict.fromkeys(numbers, stop)
        if on_hangup is not None:
            handlers[signal.SIGHUP] = on_hangup
        meant = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number, old in meant.items():
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL if old is None else old)
        return
    # an event loop on Windows takes no signals
    before = [signal.signal(one, lambda *_: loop.call_soon_threadsafe(stop)) for one in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def _address(server: uvicorn.Server, options: ServerOptions) -> str:
    """Where clients find the server; port 0 has become another one."""
    port = server.servers[0].sockets[0].getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{port}"
