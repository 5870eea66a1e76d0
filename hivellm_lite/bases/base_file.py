"""A base model that was found, as a GGUF file, with what is known of its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..cache.entries import CacheEntry
from ..converters.gguf.published_parts import published_parts
from .conversion import gguf_of, notes_of

__all__ = ["BaseFile", "base_of_entry"]


@dataclass(frozen=True)
class BaseFile:
    """A base model ready to load.

    ``path`` is the model's only file, or its first; `files` are all. ``origin`` is the file,
    folder or repository that the model comes from; ``revision`` is the repository's commit.
    ``converted``: the model was converted just now. ``digests`` are the SHA-256 of the source
    files, if they are known without reading the files again. ``notes`` say where a converted base
    departs from Transformers.
    """

    path: Path
    origin: str
    converted: bool = False
    revision: str | None = None
    digests: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the model: more than one for a published model in parts."""
        return published_parts(self.path)

    def has_digest(self, digest: str | None) -> bool | None:
        """Whether ``digest`` is the digest of a source file; None if that is not known.

        The format does not say which file a manifest's ``sha256`` of the base covers, so a
        mismatch is only reported.
        """
        return digest in self.digests if digest and self.digests else None


def base_of_entry(entry: CacheEntry, origin: str, converted: bool = False) -> BaseFile:
    """The base in ``entry``. ``converted``: it was converted just now."""
    revision, digests = entry.info.get("revision"), entry.info.get("digests")
    return BaseFile(
        path=gguf_of(entry),
        origin=origin,
        converted=converted,
        revision=revision if isinstance(revision, str) else None,
        digests=tuple(digests.values()) if isinstance(digests, dict) else (),
        notes=notes_of(entry),
    )
