"""A request to an application in this process, read as messages."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from starlette.types import Receive, Scope, Send

from hivellm_lite.cluster.exchange import MAX_AHEAD, exchange, portable

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


def piece(number: int) -> dict[str, object]:
    return {"type": "http.response.body", "body": b"%d" % number, "more_body": True}


def test_the_application_gets_the_body_and_its_messages_come_in_order():
    received = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.append((scope["path"], await receive()))
        for number in range(5):
            await send(piece(number))
            await asyncio.sleep(0)

    async def read() -> list[object]:
        return [message async for batch in exchange(app, SCOPE, b"body") for message in batch]

    assert asyncio.run(read()) == [piece(number) for number in range(5)]
    assert received == [("/", {"type": "http.request", "body": b"body", "more_body": False})]


def test_what_is_there_at_once_comes_at_once_and_no_more_than_the_bound():
    sent = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        for number in range(3 * MAX_AHEAD):
            await send(piece(number))
            sent += 1

    async def read() -> None:
        async with aclosing(exchange(app, SCOPE, b"")) as batches:
            first = await anext(batches)
            assert len(first) > 1
            for _ in range(10):
                await asyncio.sleep(0)
            assert sent <= len(first) + MAX_AHEAD + 1

    asyncio.run(read())


def test_closing_tells_the_application_and_waits_for_its_end():
    said = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(piece(0))
        try:
            said.append((await receive())["type"])
        finally:
            await asyncio.sleep(0.01)
            await send(piece(1))  # nobody reads it, and nothing waits for it
            said.append("ended")

    async def read() -> None:
        async with aclosing(exchange(app, SCOPE, b"")) as batches:
            await anext(batches)
            await asyncio.sleep(0)
        assert said[-1] == "ended"

    asyncio.run(asyncio.wait_for(read(), 10))


def test_a_full_queue_keeps_nobody_from_closing():
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        number = 0
        while True:
            await send(piece(number := number + 1))

    async def read() -> None:
        async with aclosing(exchange(app, SCOPE, b"")) as batches:
            await anext(batches)
            for _ in range(2 * MAX_AHEAD):
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(read(), 10))


def test_an_applications_error_comes_after_its_messages():
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(piece(0))
        raise RuntimeError("broken")

    async def read() -> None:
        async with aclosing(exchange(app, SCOPE, b"")) as batches:
            assert await anext(batches) == [piece(0)]
            await anext(batches)

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(read())


def test_only_what_another_process_understands_is_handed_over():
    scope = {**SCOPE, "app": object(), "state": {}, "extensions": {}, "client": ("10.0.0.1", 7)}
    assert portable(scope) == {**SCOPE, "client": ("10.0.0.1", 7)}


def test_a_clients_key_stays_in_its_process():
    headers = [(b"authorization", b"Bearer x"), (b"Authorization", b"y"), (b"accept", b"*/*")]
    assert portable({**SCOPE, "headers": headers})["headers"] == [(b"accept", b"*/*")]
