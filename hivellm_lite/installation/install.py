"""Installs experts: brings them, checks them, puts them into place, and registers them.

Everything that can fail for a reason outside this machine comes first: all packages are fetched
and checked, with the experts that they require, into a folder of work. Only then the registry is
locked, the folders are renamed into place, and one write of the registry names all of them. After
an error nothing is installed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..cache.store import Cache
from ..errors import LoadError, PackageError, RegistryError, SignatureError
from ..hub import Hub
from ..manifest.records import Manifest
from ..package.opening import Package, open_package
from ..progress import Progress
from ..signing.verification import SignatureReport
from ..sources.fetching import fetch
from ..sources.source import Folder, Source, parse_source
from ..storage.disk_space import is_disk_full
from .files import (
    check_identity,
    copy_package,
    files_digest,
    flush_files,
)
from .home import Change, ExpertHome, now
from .records import InstallRecord, read_record, write_record
from .registry import InstalledVersion, Registry, version_entry

__all__ = ["Checks", "Installer", "Outcome", "Prepared", "Wanted"]


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


@dataclass(frozen=True)
class Outcome:
    """What became of one expert. ``change`` is "installed", "replaced", "linked" or "unchanged"."""

    name: str
    version: str
    path: Path
    change: str
    signature: SignatureReport
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """``expert-sql@0.3.0``, for messages."""
        return f"{self.name}@{self.version}"


class Installer:
    """Installs into one home. ``workplace`` is an empty folder on the same disk."""

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

    # --- fetching and checking ---------------------------------------------------------

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

    # --- putting into place ------------------------------------------------------------

    def place(
        self, prepared: Sequence[Prepared], also: Callable[[Change], None] = lambda _: None
    ) -> tuple[Outcome, ...]:
        """Install what was prepared, all or nothing; ``also`` may change more in the same write.

        Raises RegistryError.
        """
        with self.home.changing() as change:
            try:
                self.home.remove_leftovers(change.registry)
                outcomes = tuple(self._place(change, one) for one in prepared)
                also(change)
                return outcomes
            except OSError as error:
                raise self.home.explain(error) from error

    def _place(self, change: Change, one: Prepared) -> Outcome:
        manifest = one.manifest
        before = _entry_of(change.registry, manifest)
        folder = self.home.folder(change.registry)
        if one.link:
            place, what = one.folder, "linked"
        elif before is not None and self._has(before.path, one, folder):
            place, what = before.path, "unchanged"
            write_record(place, _merged(one.record, read_record(place)))
        else:
            place = self._free_place(change.registry, folder, one)
            flush_files(one.folder)
            write_record(place, one.record)
            one.folder.rename(place)
            what = "installed" if before is None else "replaced"
        weights = place / one.package.adapter.weights.relative_to(one.package.root)
        entry = version_entry(
            manifest, place, one.record.source, size=weights.stat().st_size, now=now()
        )
        change.registry = change.registry.with_version(manifest.name, entry)
        if before is not None and before.path != place:
            change.later.append(partial(self.home.forget_files, before, folder))
        change.later.append(
            partial(self.home.write_current, manifest.name, manifest.version, folder)
        )
        return Outcome(
            manifest.name,
            manifest.version,
            place,
            what,
            one.package.signature,
            one.package.notes,
        )

    def _has(self, path: Path, one: Prepared, folder: Path) -> bool:
        """Whether an installed folder has exactly these files."""
        try:
            return self.home.is_inside(path, folder) and files_digest(path) == one.record.files
        except (OSError, LoadError):
            return False

    def _free_place(self, registry: Registry, folder: Path, one: Prepared) -> Path:
        """A place that no entry names: ``0.3.0``, or ``0.3.0+1a2b3c4d5e6f`` while that is used.

        What stands there without an entry was left by a process that was killed, or by another
        tool that lost it; it is removed.
        """
        parent, version = folder / one.manifest.name, one.manifest.version
        parent.mkdir(parents=True, exist_ok=True)
        if not self.home.is_inside(parent, folder):
            raise RegistryError(
                f"{parent} is a link to a folder elsewhere\n"
                "Experts are installed, and removed, only below the folder of installed experts. "
                "Remove the link."
            )
        named = {os.path.realpath(installed.path) for installed in registry.versions()}
        names = (version, f"{version}+{one.record.files[:12]}", f"{version}+{os.urandom(6).hex()}")
        place = next(
            path
            for name in names
            if os.path.realpath(path := parent / name) not in named and _is_free(path)
        )
        if os.path.lexists(place):
            self.home.bury(place, folder)
        return place


def _check_can_be_noted(source: str) -> None:
    """Raise PackageError for a path that no registry can hold."""
    try:
        source.encode()
    except UnicodeEncodeError:
        raise PackageError(
            f"{source}: this path is not UTF-8, so the registry cannot hold it\n"
            "Rename the file or folder, then install it."
        ) from None


def _is_free(place: Path) -> bool:
    """Whether nothing is there, or a package or a link, which may go."""
    return not os.path.lexists(place) or place.is_symlink() or (place / "manifest.json").is_file()


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


def _entry_of(registry: Registry, manifest: Manifest) -> InstalledVersion | None:
    """The entry of this version. Raises RegistryError if only the case of a name differs: some
    file systems have one folder for both.
    """
    for one in registry.versions():
        if one.name == manifest.name and one.version.casefold() == manifest.version.casefold():
            if one.version != manifest.version:
                raise _differs_in_case(manifest.identity, one.identity)
            return one
        if one.name != manifest.name and one.name.casefold() == manifest.name.casefold():
            raise _differs_in_case(manifest.identity, one.identity)
    return None


def _differs_in_case(new: str, old: str) -> RegistryError:
    return RegistryError(
        f"cannot install {new}: {old} is installed, and the names differ only in case\n"
        f"Uninstall that first: hivellm-lite uninstall {old}"
    )


def _merged(new: InstallRecord, old: InstallRecord | None) -> InstallRecord:
    """The record of files that are the same: a lock's base stays unless another is given, and a
    signer who was known stays if nobody has looked now.
    """
    if old is None:
        return new
    return dataclasses.replace(new, base=new.base or old.base, key=new.key or old.key)


def _signer(package: Package) -> str | None:
    """The key of a valid signature, trusted or not: updates must be signed by the same."""
    return package.signature.key if package.signature.state == "signed" else None
