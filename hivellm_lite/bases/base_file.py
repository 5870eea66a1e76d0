"""A base model that was found, as a GGUF file, with what is known of its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..cache.entries import CacheEntry
from .conversion import gguf_of, notes_of

__all__ = ["BaseFile", "base_of_entry"]


@dataclass(frozen=True)
class BaseFile:
    """A base model ready to load.

    ``origin`` is the file, folder or repository that it comes from, ``revision``
    the commit of the latter, ``converted`` whether that was done just now.
    ``digests`` are the SHA-256 of the files it was made of, where they are known
    without reading them again. ``notes`` say where a base that we converted departs
    from Transformers.
    """

    path: Path
    origin: str
    converted: bool = False
    revision: str | None = None
    digests: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def has_digest(self, digest: str | None) -> bool | None:
        """Whether ``digest`` is that of a file it was made of; None if that is not known.

        A manifest's ``sha256`` of the base is not defined any closer, so a
        difference is worth a remark and no more.
        """
        return digest in self.digests if digest and self.digests else None


def base_of_entry(entry: CacheEntry, origin: str, converted: bool = False) -> BaseFile:
    """The base that was converted into ``entry``; ``converted``: just now."""
    revision, digests = entry.info.get("revision"), entry.info.get("digests")
    return BaseFile(
        path=gguf_of(entry),
        origin=origin,
        converted=converted,
        revision=revision if isinstance(revision, str) else None,
        digests=tuple(digests.values()) if isinstance(digests, dict) else (),
        notes=notes_of(entry),
    )
