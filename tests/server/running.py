"""A real server on loopback, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from ..support.waiting import wait_until

__all__ = ["serving"]


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The address of ``app``, such as ``http://127.0.0.1:39217``, while the block runs."""
    # asyncio switches Nagle's delays off only where the protocol is named
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, lifespan="off", log_level="critical", access_log=False, ws="none",
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()
