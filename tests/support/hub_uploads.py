"""What the local Hub answers to those who upload: repositories, large files, commits.

Usage, with a `hub_server.HubServer`::

    server.uploads.tokens["hf_right"] = ("me",)      # whose repositories this token may write
    server.repositories["me/sql"].files              # what arrived

A commit counts whole: its files are checked before any of them is there.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

Reply = tuple[int, dict[str, Any], dict[str, str]]
"""Status, JSON, headers."""


@dataclass
class Repository:
    """``pulls`` holds what a pull request proposes, by its revision ``refs/pr/1``."""

    files: dict[str, bytes]
    commit: str
    branches: tuple[str, ...] = ("main",)
    private: bool = False
    pulls: dict[str, Repository] = field(default_factory=dict)


@dataclass
class Uploads:
    """``tokens`` maps each token to the owners whose repositories it may write.

    ``large`` is the number of bytes from which a file goes to the storage at ``storage_url``.
    """

    url: str
    storage_url: str
    large: int
    repositories: dict[str, Repository]
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    _stored: dict[str, bytes] = field(default_factory=dict)

    def reset(self) -> None:
        self.tokens.clear()
        self.commits.clear()
        self._stored.clear()

    def store(self, path: str, body: bytes) -> Reply:
        """A large file, put under its digest."""
        digest = path.removeprefix("/upload/")
        if hashlib.sha256(body).hexdigest() != digest:
            return 400, {"error": "not these bytes"}, {}
        self._stored[digest] = body
        return 200, {}, {}

    def answer(self, path: str, query: str, authorization: str | None, body: bytes) -> Reply:
        """What the Hub answers to a POST."""
        owners = self.tokens.get((authorization or "").removeprefix("Bearer "))
        if owners is None:
            told = "Invalid credentials in Authorization header"
            return 401, {"error": told}, {"X-Error-Message": told}
        if path == "/api/repos/create":
            return self._create(json.loads(body), owners)
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        kinds: dict[str, Callable[[Repository, str, bytes, bool], Reply]] = {
            r"/api/models/(\w+/[\w.-]+)/preupload/(.+)": self._preupload,
            r"/(\w+/[\w.-]+)\.git/info/lfs/objects/(batch)": self._batch,
            r"/api/models/(\w+/[\w.-]+)/commit/(.+)": self._commit,
        }
        found = ((re.fullmatch(form, path), work) for form, work in kinds.items())
        match, work = next(pair for pair in found if pair[0])
        assert match is not None
        name, revision = match.groups()
        repository = self.repositories.get(name)
        proposed = "create_pr" in parse_qs(query)
        if repository is None:
            return 404, {}, {"X-Error-Code": "RepoNotFound"}
        if revision not in ("batch", *repository.branches):
            return 404, {}, {"X-Error-Code": "RevisionNotFound"}
        if name.split("/")[0] not in owners and not proposed and revision != "batch":
            told = "You have read access but not the required permissions"
            return 403, {"error": told}, {"X-Error-Message": told}
        return work(repository, name, body, proposed)

    def _create(self, asked: dict[str, Any], owners: tuple[str, ...]) -> Reply:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] not in owners:
            told = f"You don't have the rights to create a model under {asked['organization']}"
            return 403, {"error": told}, {"X-Error-Message": told}
        known = {"url": f"{self.url}/{name}", "name": name}
        if name in self.repositories:
            return 409, {"error": "You already created this model repo", **known}, {}
        is_private = asked.get("private") or asked.get("visibility") == "private"
        files = {".gitattributes": b"*.expert filter=lfs diff=lfs merge=lfs -text\n"}
        commit = hashlib.sha1(name.encode()).hexdigest()
        self.repositories[name] = Repository(files, commit, private=bool(is_private))
        return 200, known, {}

    def _preupload(self, repository: Repository, _: str, body: bytes, __: bool) -> Reply:
        ignored = repository.files.get(".gitignore", b"").decode().split()
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= self.large else "regular",
                "shouldIgnore": any(fnmatch.fnmatch(file["path"], one) for one in ignored),
            }
            for file in json.loads(body)["files"]
        ]
        return 200, {"files": files}, {}

    def _batch(self, _: Repository, __: str, body: bytes, ___: bool) -> Reply:
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self._stored:
                entry["actions"] = {"upload": {"href": f"{self.storage_url}/upload/{entry['oid']}"}}
            objects.append(entry)
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _commit(self, repository: Repository, name: str, body: bytes, proposed: bool) -> Reply:
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", repository.commit) != repository.commit:
            told = "A commit has happened since. Please refresh and try again."
            return 412, {"error": told}, {"X-Error-Message": told}
        files = dict(repository.files)
        for line in lines[1:]:
            value = line["value"]
            data = self._stored.get(value.get("oid", ""))
            if line["key"] == "file":
                data = base64.b64decode(value["content"])
            if data is None:
                return 400, {"error": f"{value['path']} was not uploaded"}, {}
            files[value["path"]] = data
        commit = hashlib.sha1(repository.commit.encode() + body).hexdigest()
        self.commits.append(header["summary"])
        page = f"{self.url}/{name}"
        reply = {"success": True, "commitOid": commit, "commitUrl": f"{page}/commit/{commit}"}
        if proposed:
            number = len(repository.pulls) + 1
            repository.pulls[f"refs/pr/{number}"] = replace(repository, files=files, commit=commit)
            return 200, {**reply, "pullRequestUrl": f"{page}/discussions/{number}"}, {}
        repository.files, repository.commit = files, commit
        return 200, reply, {}
