"""What a server is told: addresses, keys, limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..loopback import is_loopback

__all__ = ["DEFAULT_PORT", "APIKey", "ServerOptions"]

DEFAULT_PORT = 8000

MAX_BODY_BYTES = 8 << 20
"""A prompt of a million characters, escaped, with room to spare."""


@dataclass(frozen=True)
class APIKey:
    """A key that clients send as ``Authorization: Bearer KEY``. ``name`` appears in the log."""

    name: str
    key: str

    def __repr__(self) -> str:
        return f"APIKey(name={self.name!r})"


@dataclass(frozen=True)
class ServerOptions:
    """How a server behaves.

    ``host``, ``port``: where it listens. ``keys``: none lets everybody in, which is possible
    on loopback only, unless ``insecure``. ``allowed_hosts``: names that a ``Host`` header may have
    beside the address itself. ``cors``: origins that browsers may ask from, ``*`` for all.

    ``queue``: requests that wait or compute at once; one more is refused with 429. ``timeout``:
    seconds for one request; None is no limit. ``drain``: seconds that running answers get after
    SIGTERM. ``ttl``: seconds after which an expert that nobody asks is taken out of memory; None
    keeps it. ``allow_loading``: the folder from which clients may load packages; None allows none.
    ``max_body``: bytes of a request's body. ``max_tokens``: most tokens of one answer; None is the
    context's length.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    keys: tuple[APIKey, ...] = ()
    insecure: bool = False
    allowed_hosts: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    queue: int = 256
    timeout: float | None = 600.0
    drain: float = 30.0
    ttl: float | None = None
    allow_loading: str | os.PathLike[str] | None = None
    max_body: int = MAX_BODY_BYTES
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"port={self.port}: must be from 0 to 65535")
        if self.queue < 1:
            raise ValueError(f"queue={self.queue}: must be 1 or more")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout}: must be more than 0 seconds")
        if not self.drain >= 0:
            raise ValueError(f"drain={self.drain}: must be 0 seconds or more")
        if self.ttl is not None and not self.ttl > 0:
            raise ValueError(f"ttl={self.ttl}: must be more than 0 seconds")
        if self.allow_loading is not None and not Path(self.allow_loading).is_dir():
            raise ValueError(f"allow_loading={self.allow_loading}: there is no such folder")
        if self.max_body < 1:
            raise ValueError(f"max_body={self.max_body}: must be 1 byte or more")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens={self.max_tokens}: must be 1 or more")
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError("two API keys have the same name")
        self._check_reach()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    def _check_reach(self) -> None:
        if not (self.keys or self.is_loopback or self.insecure):
            raise ValueError(
                f"host={self.host}: other machines could use this server, and no API key is set\n"
                "Give --api-key-file, listen on 127.0.0.1, or say --insecure."
            )
