"""Asks the Hub what a repository holds; retries what is worth it.

Requests go through the session of ``huggingface_hub``: its proxies, certificates
and sign-in hold here too. Its own download functions are not used, because they
put a file into place unchecked and forget what a broken download already has.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._version import __version__
from ..archive.limits import Refused
from ..archive.names import member_path
from ..errors import BaseNotFoundError, LoadError
from .failures import explain, is_transient, transport_errors
from .reference import MAIN, HubReference

__all__ = ["TIMEOUT_S", "Hub", "HubFile", "Listing", "request_headers"]

TIMEOUT_S = 15.0
"""How long the Hub may say nothing before the connection counts as broken."""

_LONGEST_WAIT_S = 8.0

_TRUE = ("1", "on", "yes", "true")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _default_cache() -> Path:
    """Where ``huggingface_hub`` keeps downloads, by the same variables."""
    variables = os.environ
    if folder := variables.get("HF_HUB_CACHE") or variables.get("HUGGINGFACE_HUB_CACHE"):
        return _expanded(folder)
    caches = variables.get("XDG_CACHE_HOME") or "~/.cache"
    home = variables.get("HF_HOME") or f"{caches}/huggingface"
    return _expanded(home) / "hub"


def _expanded(path: str) -> Path:
    """As the client does it: where no home folder is known, ``~`` is a name like others."""
    return Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111


@dataclass(frozen=True)
class HubFile:
    """One file of a repository.

    ``digest`` is the SHA-256 of a large file, or git's SHA-1 of a small one. Their lengths
    tell them apart.
    """

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit. ``reference`` is what was asked for."""

    reference: HubReference
    commit: str
    files: tuple[HubFile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(file.name for file in self.files)


@dataclass(frozen=True)
class Hub:
    """Where the Hub is and how patiently it is asked.

    ``cache`` is the Hugging Face cache. ``retries`` is how many failures in a row, without a
    new byte, are tolerated. ``wait(seconds)`` is called between the tries.
    """

    endpoint: str
    cache: Path
    offline: bool = False
    retries: int = 4
    wait: Callable[[float], None] = time.sleep

    @classmethod
    def from_environment(cls, *, offline: bool = False) -> Hub:
        """The Hub of ``HF_ENDPOINT``, ``HF_HOME``, ``HF_HUB_CACHE`` and ``HF_HUB_OFFLINE``."""
        flags = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        return cls(
            endpoint=endpoint.rstrip("/"),
            cache=_default_cache(),
            offline=offline or any(flag.lower() in _TRUE for flag in flags),
        )

    def file_url(self, repository: str, commit: str, name: str) -> str:
        return f"{self.endpoint}/{repository}/resolve/{commit}/{quote(name)}"

    def list_files(self, reference: HubReference) -> Listing:
        """The files of a repository.

        Raises BaseNotFoundError if there is no such repository or revision, or if offline;
        LoadError for everything else that goes wrong.
        """
        if self.offline:
            raise BaseNotFoundError(
                f"the Hub was not asked for {reference}: offline\n"
                "Allow the network (HF_HUB_OFFLINE=0, without --offline), or get it beforehand."
            )
        revision = quote(reference.revision or MAIN, safe="")
        url = f"{self.endpoint}/api/models/{reference.repository}/revision/{revision}"
        failures = 0
        while True:
            try:
                return _listing(reference, _get_json(url))
            except transport_errors() as error:  # noqa: PERF203 - this loop is for errors
                failures += 1
                # That there is no network shall be said at once, not after some waits.
                if failures > self.retries or not is_transient(error, connecting=False):
                    raise explain(error, self.endpoint, reference) from error
                self.pause(failures)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise LoadError(
                    f"{self.endpoint} answered something that is not the Hub's about {reference}\n"
                    f"  {type(error).__name__}: {error}\n"
                    "Check HF_ENDPOINT, and whether a proxy or a sign-in page stands between."
                ) from error

    def pause(self, failures: int) -> None:
        """Wait 1, 2, 4, 8, 8 … seconds."""
        self.wait(min(2.0 ** (failures - 1), _LONGEST_WAIT_S))


def request_headers(**more: str) -> dict[str, str]:
    """The token, if there is one, and a user agent. ``build_hf_headers`` would report more."""
    from huggingface_hub import constants, get_token

    headers = {"user-agent": f"hivellm_lite/{__version__}", "accept-encoding": "identity", **more}
    if not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN and (token := get_token()):
        headers["authorization"] = f"Bearer {token}"
    return headers


def _get_json(url: str) -> Any:
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status

    response = get_session().get(
        url, params={"blobs": True}, headers=request_headers(), timeout=TIMEOUT_S
    )
    hf_raise_for_status(response)
    return response.json()


def _listing(reference: HubReference, answer: Any) -> Listing:
    """Check the answer: names and digests become paths in the cache."""
    if not _SHA1.fullmatch(answer["sha"]):
        raise ValueError(f"{answer['sha']!r} is not a commit")
    files = [_file(entry) for entry in answer["siblings"]]
    return Listing(reference, answer["sha"], tuple(file for file in files if file is not None))


def _file(entry: Any) -> HubFile | None:
    """None for a file that cannot be stored or checked, which is then ignored."""
    lfs = entry.get("lfs") or {}
    digest, size = lfs.get("sha256") or entry.get("blobId"), entry.get("size")
    shape = _SHA256 if lfs else _SHA1
    if not isinstance(digest, str) or not shape.fullmatch(digest) or not isinstance(size, int):
        return None
    try:
        return HubFile(member_path(entry["rfilename"]), size, digest)
    except Refused:
        return None
