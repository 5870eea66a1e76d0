"""A Hub on this machine: what the real one answers, and what it answers on bad days.

Usage::

    with HubServer() as server:
        server.add("owner/name", {"config.json": b"{}"})
        server.misbehave("config.json", Answer(503), times=2)
        hub = Hub(endpoint=server.url, cache=tmp_path)

It speaks HTTP on 127.0.0.1: ``/api/models/{repo}/revision/{revision}`` and
``…/tree/{revision}``, ``/{repo}/resolve/{revision}/{file}`` with HEAD and ranges,
and a second port that plays the storage to which large files are redirected. What is
uploaded goes to `hub_uploads`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

# At import, before a test may set HF_HUB_OFFLINE: the client reads it once.
import huggingface_hub.constants

from .hub_uploads import Repository, Uploads

LARGE = 1000
"""Bytes from which a file is stored as LFS, with a SHA-256; the real Hub's limit is 10 MB."""


@dataclass(frozen=True)
class Answer:
    """A wrong answer: a status with headers, a body, or a connection cut after some bytes."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    ignore_range: bool = False


@dataclass(frozen=True)
class Asked:
    """One request that arrived. ``storage``: at the second port."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    storage: bool


@dataclass
class _Rule:
    part: str
    answer: Answer
    times: int


class HubServer:
    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self._rules: list[_Rule] = []
        self._servers = [
            ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, storage=storage))
            for storage in (False, True)
        ]
        self.url, self.storage_url = (
            f"http://127.0.0.1:{server.server_port}" for server in self._servers
        )
        self.uploads = Uploads(self.url, self.storage_url, LARGE, self.repositories)

    def add(
        self, name: str, files: dict[str, bytes] | Path, *, branches: tuple[str, ...] = ("main",)
    ) -> Repository:
        """A repository with these files, or those of a folder."""
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in files.iterdir()}
        contents = json.dumps({key: digest(data) for key, data in files.items()})
        commit = hashlib.sha1(f"{name}{contents}".encode()).hexdigest()
        self.repositories[name] = Repository(dict(files), commit, branches)
        return self.repositories[name]

    def misbehave(self, part: str, answer: Answer, *, times: int = 1_000_000) -> None:
        """Answer so to the next requests whose path contains ``part``."""
        self._rules.append(_Rule(part, answer, times))

    def behave(self) -> None:
        """Answer rightly again."""
        self._rules.clear()

    def reset(self) -> None:
        """Hold nothing, behave, and have been asked nothing."""
        self.repositories.clear()
        self.asked.clear()
        self.uploads.reset()
        self.behave()

    def wrong_answer(self, path: str) -> Answer | None:
        for rule in self._rules:
            if rule.part in path and rule.times > 0:
                rule.times -= 1
                return rule.answer
        return None

    def downloads(self, name: str = "") -> list[Asked]:
        """Requests for the contents of files whose path ends so."""
        return [
            asked
            for asked in self.asked
            if asked.method == "GET" and "/resolve/" in asked.path and asked.path.endswith(name)
        ]

    def __enter__(self) -> HubServer:
        for server in self._servers:
            # shutdown() waits until the loop looks, which it does this often
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        huggingface_hub.close_session()
        for server in self._servers:
            server.shutdown()
            server.server_close()


def digest(data: bytes) -> str:
    """What the Hub lists: SHA-256 of large files, git's SHA-1 of small ones."""
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _handler(hub: HubServer, *, storage: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each body waits 40 ms for the headers' receipt

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.take()

        def do_PUT(self) -> None:
            self.take()

        def note(self) -> tuple[str, Answer | None]:
            """The path that is asked for, and the wrong answer that it shall get."""
            path = unquote(urlsplit(self.path).path)
            headers = self.headers
            asked = (headers.get("Range"), headers.get("Authorization"), storage)
            hub.asked.append(Asked(self.command, path, *asked))
            return path, hub.wrong_answer(path)

        def take(self) -> None:
            """A request with a body."""
            path, wrong = self.note()
            if wrong is not None and wrong.cut_after is not None:
                self.rfile.read(wrong.cut_after)
                self.close_connection = True
                return
            body = self.body()
            if wrong is not None:
                self.send(wrong.body or b"{}", wrong.status, wrong.headers)
                return
            if storage:
                status, told, headers = hub.uploads.store(path, body)
            else:
                query, who = urlsplit(self.path).query, self.headers.get("Authorization")
                status, told, headers = hub.uploads.answer(path, query, who, body)
            self.send(json.dumps(told).encode(), status, headers)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def answer(self) -> None:
            path, wrong = self.note()
            if wrong is not None and (wrong.status >= 400 or wrong.body is not None):
                self.send(wrong.body or b"{}", wrong.status, wrong.headers)
            elif path.startswith("/api/models/") and "/tree/" in path:
                self.send_tree(path)
            elif path.startswith("/api/models/"):
                self.send_listing(path)
            elif storage:
                self.send_contents(path.removeprefix("/stored/"), wrong)
            else:
                self.send_file(path, wrong)

        def send_listing(self, path: str) -> None:
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            repository = self.find(name, revision or "main")
            if repository is None:
                return
            siblings = []
            for file, data in repository.files.items():
                entry = {"rfilename": file, "size": len(data), "blobId": "0" * 40}
                if len(data) >= LARGE:
                    entry["lfs"] = {"sha256": digest(data), "size": len(data), "pointerSize": 1}
                else:
                    entry["blobId"] = digest(data)
                siblings.append(entry)
            body = {"id": name, "sha": repository.commit, "siblings": siblings}
            self.send(json.dumps(body).encode())

        def send_tree(self, path: str) -> None:
            """What the client's ``snapshot_download`` asks for besides."""
            name, _, revision = path.removeprefix("/api/models/").partition("/tree/")
            repository = self.find(name, revision)
            if repository is None:
                return
            tree = []
            for file, data in repository.files.items():
                entry = {"type": "file", "path": file, "size": len(data), "oid": "0" * 40}
                if len(data) >= LARGE:
                    entry["lfs"] = {"oid": digest(data), "size": len(data), "pointerSize": 1}
                tree.append(entry)
            self.send(json.dumps(tree).encode())

        def send_file(self, path: str, wrong: Answer | None) -> None:
            name, _, rest = path[1:].partition("/resolve/")
            revision, _, file = rest.partition("/")
            repository = self.find(name, revision)
            if repository is None:
                return
            if file not in repository.files:
                self.send(b"{}", 404, {"X-Error-Code": "EntryNotFound"})
                return
            data = repository.files[file]
            large = len(data) >= LARGE
            headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{digest(data)}"'}
            if large:
                headers["X-Linked-Etag"] = headers["ETag"]
                headers["X-Linked-Size"] = str(len(data))
                location = f"{hub.storage_url}/stored{path}"
                self.send(b"", 302, {**headers, "Location": location})
            else:
                self.send_data(data, headers, wrong)

        def send_contents(self, path: str, wrong: Answer | None) -> None:
            name, _, rest = path.partition("/resolve/")
            repository = hub.repositories[name]
            self.send_data(repository.files[rest.partition("/")[2]], {}, wrong)

        def send_data(self, data: bytes, headers: dict[str, str], wrong: Answer | None) -> None:
            start, status = 0, 200
            wanted = self.headers.get("Range")
            if wanted and not (wrong and wrong.ignore_range):
                start = int(wanted.removeprefix("bytes=").split("-")[0])
                status = 206
                last = len(data) - 1
                headers = {**headers, "Content-Range": f"bytes {start}-{last}/{len(data)}"}
            cut = wrong.cut_after if wrong else None
            self.send(data[start:], status, headers, cut)

        def find(self, name: str, revision: str) -> Repository | None:
            repository = hub.repositories.get(name)
            if repository is None:
                self.send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
            elif revision in repository.pulls:
                return repository.pulls[revision]
            elif revision not in (repository.commit, *repository.branches):
                self.send(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
                return None
            return repository

        def send(
            self,
            body: bytes,
            status: int = 200,
            headers: dict[str, str] | None = None,
            cut_after: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body if cut_after is None else body[:cut_after])
            if cut_after is not None:
                self.wfile.flush()
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
