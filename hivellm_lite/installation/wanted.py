"""What is to be installed, what it must pass, and what was fetched and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..hub import Hub
from ..manifest.records import Manifest
from ..package.opening import Package
from .records import InstallRecord

__all__ = ["Checks", "Prepared", "Wanted"]


@dataclass(frozen=True)
class Checks:
    """What a package must pass, and which Hub is asked how patiently, if any network is.

    ``verify`` and ``signatures`` are the options of `SourceOptions`. By default the environment
    decides about the Hub.
    """

    verify: bool = True
    signatures: str | None = None
    hub: Hub = field(default_factory=Hub.from_environment)


@dataclass(frozen=True)
class Wanted:
    """An expert to install. What is not None must be so: ``name``, ``version``, the digests of
    the archive (``sha256``) and of all files, and the public ``key`` that signed it.

    ``link`` registers a folder in place. ``base`` is the base that the expert is to use by
    default: ``owner/repository@commit``. ``index`` is the index that named the source.
    ``recorded``: the source was noted earlier, so a relative path in it means nothing, and
    ``owner/repository`` is on the Hub, whatever is here.
    """

    source: str
    link: bool = False
    recorded: bool = False
    name: str | None = None
    version: str | None = None
    sha256: str | None = None
    files: str | None = None
    key: str | None = None
    base: str | None = None
    index: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A package that was fetched and checked. ``folder`` holds its files; it is moved into place,
    unless ``link``: then it is where it stays.
    """

    package: Package
    folder: Path
    link: bool
    record: InstallRecord

    @property
    def manifest(self) -> Manifest:
        """The manifest of the package."""
        return self.package.manifest
