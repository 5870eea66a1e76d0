"""Signals mean something else while a server runs, and only then."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from hivellm_lite.server.run import _signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")


def test_afterwards_signals_mean_what_they_meant() -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    heard: list[int] = []
    before = [signal.signal(number, lambda got, _: heard.append(got)) for number in numbers]
    inside: list[str] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        with _signals(loop, lambda: inside.append("stop"), lambda: inside.append("again")):
            for number in numbers:
                signal.raise_signal(number)
            await asyncio.sleep(0.01)

    try:
        asyncio.run(serve())
        assert inside == ["stop", "again"]
        for number in numbers:
            signal.raise_signal(number)
        assert heard == list(numbers)
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
