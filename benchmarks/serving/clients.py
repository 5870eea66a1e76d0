"""Many clients at once, in a process of their own: ``python -m benchmarks.serving.clients``.

Reads a plan as JSON from stdin and writes an outcome for each request to stdout. Each client
asks one streamed request after the other, over a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any


async def run(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask all requests of the plan; the outcomes in the plan's order."""
    waiting = iter(enumerate(plan["requests"]))
    outcomes: dict[int, dict[str, Any]] = {}

    async def client(waiting: Iterator[tuple[int, dict[str, Any]]]) -> None:
        for index, request in waiting:  # shared: each request is taken once
            outcomes[index] = await ask(plan["port"], request)

    await asyncio.gather(*(client(waiting) for _ in range(plan["clients"])))
    return [outcomes[index] for index in sorted(outcomes)]


async def ask(port: int, request: dict[str, Any]) -> dict[str, Any]:
    """One request. ``hang_after``: close the connection after so many pieces of text."""
    started = time.perf_counter()
    found: dict[str, Any] = {"text": "", "end": "", "first": None, "pieces": 0}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(request["body"]).encode()
    head = (
        f"POST {request['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        status = (await reader.readline()).split()[1:2]
        if status != [b"200"]:
            found["end"] = f"status {status}: {(await reader.read())[-300:]!r}"
            return found
        async for line in reader:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            text, end = _read(json.loads(line[6:]))
            found["end"] = end or found["end"]
            if not text:
                continue
            found["text"] += text
            found["pieces"] += 1
            if found["first"] is None:
                found["first"] = time.perf_counter() - started
            if found["pieces"] == request["hang_after"]:
                found["end"] = "hung up"
                break
    except (OSError, asyncio.IncompleteReadError) as error:
        found["end"] = f"{type(error).__name__}: {error}"
    finally:
        found["seconds"] = time.perf_counter() - started
        writer.close()
    return found


def _read(event: dict[str, Any]) -> tuple[str, str]:
    """The text of an event, and why the answer ended, of either server."""
    if "error" in event:
        return "", f"error {event['error']}"
    if "choices" in event:
        (choice,) = event["choices"]
        return choice["delta"].get("content") or "", choice["finish_reason"] or ""
    ended = event.get("stop_type", "stop") if event.get("stop") else ""
    return event.get("content", ""), ended


def main() -> None:
    plan = json.load(sys.stdin)
    started = time.perf_counter()
    outcomes = asyncio.run(run(plan))
    json.dump({"seconds": time.perf_counter() - started, "outcomes": outcomes}, sys.stdout)


if __name__ == "__main__":
    main()
