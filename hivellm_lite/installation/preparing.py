"""Brings experts to this machine and checks them, before anything is changed (`placing`).

Everything that can fail for a reason outside this machine comes first: all packages are fetched
and checked, with the experts that they require, into a folder of work. Only then the registry is
locked, the folders are renamed into place, and one write of the registry names all of them. After
an error nothing is installed.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..cache.store import Cache
from ..errors import LoadError, PackageError, SignatureError
from ..package.opening import Package, open_package
from ..progress import Progress
from ..sources.fetching import fetch
from ..sources.source import Folder, Source, parse_source
from ..storage.disk_space import is_disk_full
from .files import check_identity, copy_package, files_digest
from .home import ExpertHome
from .records import InstallRecord
from .wanted import Checks, Prepared, Wanted

__all__ = ["Preparer"]


class Preparer:
    """Fetches and checks for one home. ``workplace`` is an empty folder on the same disk."""

    def __init__(
        self,
        home: ExpertHome,
        workplace: Path,
        checks: Checks | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.home = home
        self.checks = checks or Checks()
        self._workplace = workplace
        self._progress = progress
        self._count = 0

    def prepare(self, wanted: Wanted) -> Prepared:
        """Bring and check one package.

        Raises PackageError, also where it is not what is ``wanted``, RegistryError if the disk
        fails, and what `fetch` and `open_package` raise.
        """
        try:
            return self._prepare(wanted)
        except OSError as error:
            raise self.home.explain(error) from error

    def _prepare(self, wanted: Wanted) -> Prepared:
        nowhere = self._workplace / "nowhere"
        source = parse_source(wanted.source, relative_to=nowhere if wanted.recorded else None)
        _check_can_be_noted(source.text)
        if wanted.link:
            return self._linked(wanted, source)
        self._count += 1
        work = self._workplace / str(self._count)
        fetched_into = work / "fetched"
        fetched_into.mkdir(parents=True)
        fetched = fetch(
            source,
            fetched_into,
            hub=self.checks.hub,
            progress=self._progress,
            verify=self.checks.verify,
        )
        package = self._open(fetched.path, work)
        check_identity(package.manifest)
        if package.root == package.source:
            folder, sha256 = work / "files", None
            folder.mkdir()
            copy_package(package, folder)
            if self._open(folder, work).digest != package.digest:
                raise PackageError(f"{package.source} was changed while it was copied\nTry again.")
        else:
            folder, sha256 = package.root, package.digest
            if package.signature.state == "signed":
                self._open(folder, work)  # as it will be loaded: some members are not unpacked
        record = InstallRecord(
            source=fetched.source,
            files=files_digest(folder),
            pinned=fetched.pinned,
            revision=fetched.revision,
            sha256=sha256,
            key=_signer(package),
            base=wanted.base,
            index=wanted.index,
        )
        _check_wanted(wanted, package, record)
        return Prepared(package, folder, False, record)

    def _linked(self, wanted: Wanted, source: Source) -> Prepared:
        if not isinstance(source, Folder):
            raise PackageError(f"{wanted.source} is no folder here\nOnly a folder can be linked.")
        package = self._open(source.path, self._workplace)
        check_identity(package.manifest)
        experts = self._workplace.parent
        if Path(os.path.realpath(source.path)).is_relative_to(os.path.realpath(experts)):
            raise PackageError(
                f"{source.path} is in the folder of installed experts, where uninstalling removes "
                "files\nMove it elsewhere, then link it."
            )
        record = InstallRecord(source=source.text, files="", key=_signer(package))
        return Prepared(package, Path(os.path.realpath(source.path)), True, record)

    def _open(self, path: Path, work: Path) -> Package:
        try:
            return open_package(
                path,
                cache=Cache(work / "cache"),
                verify=self.checks.verify,
                signatures=self.checks.signatures,
            )
        except LoadError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and is_disk_full(cause):  # ours, not that of a cache
                raise self.home.explain(cause) from cause
            raise


def _check_can_be_noted(source: str) -> None:
    """Raise PackageError for a path that no registry can hold."""
    try:
        source.encode()
    except UnicodeEncodeError:
        raise PackageError(
            f"{source}: this path is not UTF-8, so the registry cannot hold it\n"
            "Rename the file or folder, then install it."
        ) from None


def _check_wanted(wanted: Wanted, package: Package, record: InstallRecord) -> None:
    """Raise PackageError if the package is not the one that is wanted."""
    manifest = package.manifest
    is_pinned = wanted.files is not None or wanted.sha256 is not None
    if wanted.key is not None and not is_pinned and package.signature.state == "not verified":
        raise SignatureError(
            f"{wanted.source} must be signed by {wanted.key}, which was not verified\n"
            "Install cryptography, pip install 'hivellm-lite[signing]', and verify signatures."
        )
    facts = (
        ("name", wanted.name, manifest.name),
        ("version", wanted.version, manifest.version),
        ("SHA-256 of the archive", wanted.sha256, record.sha256),
        ("digest of the files", wanted.files, record.files),
        ("signing key", wanted.key, package.signature.key),
    )
    for what, expected, found in facts:
        if expected is not None and expected != found:
            raise PackageError(
                f"{wanted.source} is not the package that was asked for: its {what} differs\n"
                f"  found    {found or 'none'}\n  expected {expected}\n"
                "Nothing was installed. If the author published it anew, ask them, and lock or "
                "name the new one."
            )


def _signer(package: Package) -> str | None:
    """The key of a valid signature, trusted or not: updates must be signed by the same."""
    return package.signature.key if package.signature.state == "signed" else None
