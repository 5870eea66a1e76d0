"""HAProxy with the configuration of the examples, in front of three servers on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from ..server.running import serving
from ..support.paths import ROOT
from ..support.waiting import wait_until
from .stand_in import StandIn

__all__ = ["CONFIGURATION", "HAPROXY", "Fleet", "Proxy", "fleet", "haproxy"]

HAPROXY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")

TEXT = 'ü "model": "another", \\ {"model": null} '
"""What a conversation may be about."""

CONFIGURATION = ROOT / "examples" / "deploy" / "haproxy.cfg"


@dataclass(frozen=True)
class Proxy:
    """HAProxy while it runs: a client of it, and the socket on which it takes commands."""

    client: httpx.Client
    admin_socket: Path

    def another_client(self) -> httpx.Client:
        """A client with connections of its own."""
        return httpx.Client(base_url=self.client.base_url, timeout=30, trust_env=False)

    def command(self, line: str) -> str:
        """What the admin socket says to a command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.admin_socket))
            connection.sendall(f"{line}\n".encode())
            return connection.makefile().read()

    def wait_for_state(self, name: str, state: str) -> None:
        """Until the proxy believes that a server is ``UP``, ``DOWN``, ``DRAIN``…"""

        def believes() -> bool:
            rows = [line.split(",") for line in self.command("show stat").splitlines()]
            return any(row[:2] == ["experts", name] and row[17] == state for row in rows)

        wait_until(believes)


@dataclass(frozen=True)
class Fleet(Proxy):
    """A proxy and the three servers that it asks."""

    servers: Mapping[str, StandIn]
    _running: Mapping[str, contextlib.ExitStack]

    def ask(self, model: str, *, padding: int = 0) -> str:
        """The name of the server that answers; ``model`` stands after so many bytes of text."""
        content = (TEXT * (padding // len(TEXT) + 1))[:padding]
        body = {"messages": [{"role": "user", "content": content}], "model": model}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["server"]

    def stop(self, name: str) -> None:
        """End a server: nothing listens at its address any more."""
        self._running[name].close()


@contextlib.contextmanager
def haproxy(addresses: Sequence[str]) -> Iterator[Proxy]:
    """HAProxy in front of the servers ``s1``, ``s2`` and ``s3`` at these addresses."""
    with contextlib.ExitStack() as cleanup:
        # the path of a socket has about 100 characters at most, and pytest's are long
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="haproxy-")))
        listener = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        environment = {
            **os.environ,
            **{
                f"SERVER_{number}": address.removeprefix("http://")
                for number, address in enumerate(addresses, start=1)
            },
            "LISTEN": f"fd@{listener.fileno()}",
            "ADMIN_SOCKET": str(folder / "admin.sock"),
            "CHECK_INTERVAL": "50ms",
        }
        process = subprocess.Popen(
            [str(HAPROXY), "-db", "-q", "-f", CONFIGURATION],
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = cleanup.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        assert client.get("/health").status_code == 200
        yield Proxy(client, folder / "admin.sock")


@contextlib.contextmanager
def fleet() -> Iterator[Fleet]:
    """HAProxy in front of three stand-ins."""
    servers = {name: StandIn(name) for name in ("s1", "s2", "s3")}
    with contextlib.ExitStack() as cleanup:
        running = {name: cleanup.enter_context(contextlib.ExitStack()) for name in servers}
        addresses = [
            running[name].enter_context(serving(server.app)) for name, server in servers.items()
        ]
        proxy = cleanup.enter_context(haproxy(addresses))
        yield Fleet(proxy.client, proxy.admin_socket, servers, running)
