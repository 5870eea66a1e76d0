"""A web server and a git server on this machine, and what they answer on bad days.

Usage::

    with WebServer() as server:
        server.files["/a.expert"] = b"…"
        server.misbehave("/a.expert", Answer(cut_after=10), times=2)
        server.repositories = folder        # bare repositories, at /git/<name>

A rule for a status holds for git as well: its requests are paths like others.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from .hub_server import Answer

ENDLESS = b"endless"
"""A body that is sent again and again until the client has had enough."""


HOLD = b"hold"
"""No answer at all: ``on_hold`` is called, and ``let_go`` is set once the client has gone."""


class WebServer:
    def __init__(self) -> None:
        self.on_hold: Callable[[], None] = lambda: None
        self.let_go = threading.Event()
        self.files: dict[str, bytes] = {}
        self.repositories: Path | None = None
        self.password: str | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._rules: list[list[object]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def misbehave(self, part: str, answer: Answer, *, times: int = 1_000_000) -> None:
        """Answer so to the next requests whose path contains ``part``."""
        self._rules.append([part, answer, times])

    def reset(self) -> None:
        """Hold nothing, behave, and have been asked nothing."""
        self.files.clear()
        self.asked.clear()
        self._rules.clear()
        self.repositories = self.password = None
        self.on_hold = lambda: None
        self.let_go.clear()

    def wrong_answer(self, path: str) -> Answer | None:
        for rule in self._rules:
            if rule[0] in path and rule[2] > 0:
                rule[2] -= 1
                return rule[1]
        return None

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that break off are what the tests are about."""


def _handler(web: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            web.asked.append((url.path, {k.lower(): v for k, v in self.headers.items()}))
            wrong = web.wrong_answer(self.path) or Answer()
            if wrong.body == HOLD:
                web.on_hold()
                with contextlib.suppress(OSError):
                    self.connection.recv(1)  # until the other end is closed
                self.close_connection = True
                web.let_go.set()
            elif web.password is not None and not self.has_password(web.password):
                self.send(b"", 401, {"WWW-Authenticate": 'Basic realm="git"'})
            elif wrong.status != 200 or wrong.body not in (None, ENDLESS):
                self.send(wrong.body or b"", wrong.status, wrong.headers)
            elif url.path.startswith("/git/") and web.repositories is not None:
                self.send_git(url.path.removeprefix("/git"), url.query, wrong.cut_after)
            elif url.path not in web.files:
                self.send(b"", 404, {})
            elif wrong.body == ENDLESS:
                self.send_endlessly()
            else:
                self.send_file(web.files[url.path], wrong)

        def has_password(self, password: str) -> bool:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            return base64.b64decode(given).decode().partition(":")[2] == password

        def send_file(self, data: bytes, wrong: Answer) -> None:
            tag = f'"{hash(data):x}"'
            headers = {"ETag": tag, **wrong.headers}
            if self.headers.get("If-None-Match") == tag:
                self.send(b"", 304, headers)
                return
            start, status = 0, 200
            wanted = self.headers.get("Range")
            if wanted and self.headers.get("If-Range", tag) == tag and not wrong.ignore_range:
                start, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
            self.send(data[start:], status, headers, wrong.cut_after)

        def send_endlessly(self) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(ENDLESS * 10_000)
            except OSError:
                pass

        def send_git(self, path: str, query: str, cut_after: int | None) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            done = subprocess.run(
                [shutil.which("git") or "git", "http-backend"],
                input=body,
                capture_output=True,
                check=False,
                env={
                    "PATH": os.environ["PATH"],
                    "GIT_PROJECT_ROOT": str(web.repositories),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                },
            )
            head, _, data = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            status = int(headers.pop("Status", "200").split()[0])
            self.send(data, status, headers, cut_after)

        def send(
            self, body: bytes, status: int, headers: dict[str, str], cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body[:cut])
                self.wfile.flush()
            except OSError:
                pass
            if cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
