"""Publishes a package on the Hub: archive, digest file and model card, in one commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import LoadError, PackageError
from ..hub.connection import Hub, HubFile, Listing
from ..hub.download import difference, fetch_files
from ..hub.reference import HubReference
from ..hub.upload import Commit, commit_files, ensure_repository
from ..package.opening import Package
from .model_card import CardFacts, model_card
from .readme import README, readme_with

__all__ = ["Published", "publish", "sidecar", "wanted_name"]

MAX_README = 1 << 20
"""Bytes of a README.md that is looked at; a longer one is kept as it is."""

_NAME = re.compile(r"\w[\w.+-]*\.expert")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Published:
    """What `publish` did.

    ``url`` is the page of the commit or pull request; None if the package was there already and
    nothing was committed. ``reference`` names the package from now on. ``files`` were uploaded.
    ``readme_kept``: whether the repository's README.md stayed, because `publish` did not write it.
    """

    url: str | None
    reference: HubReference
    files: tuple[str, ...]
    readme_kept: bool


def wanted_name(package: Package) -> str:
    """The archive's file name. Raises PackageError for a folder, and for a name that would need
    quoting in a shell or in an address.
    """
    name = package.source.name
    if package.root == package.source:
        raise PackageError(
            f"{package.source} is a folder, and an .expert file is published\n"
            "Make one: hivellm-lite package FOLDER -o NAME.expert"
        )
    if not _NAME.fullmatch(name):
        raise PackageError(
            f"{name} cannot be published under this name\n"
            "Rename it: letters, digits and . _ + - only, and .expert at its end."
        )
    return name


def sidecar(name: str, digest: str) -> bytes:
    """The digest file, as ``sha256sum`` writes it."""
    return f"{digest}  {name}\n".encode()


def publish(
    package: Package,
    facts: CardFacts,
    target: HubReference,
    *,
    hub: Hub,
    message: str | None = None,
    private: bool = False,
    create_pr: bool = False,
    force: bool = False,
    show_progress: bool = False,
) -> Published:
    """Upload an archive that was opened with every check, and its card.

    Nothing is committed if the repository has the archive and its digest file already, unless
    ``force``, which writes the card in any case, in place of whatever README.md is there. A
    repository that does not exist is made; ``private`` is for this case. Raises PackageError or
    LoadError, after which the repository's files are what they were.
    """
    name = wanted_name(package)
    ensure_repository(hub, target, private=private)
    listing = hub.list_files(target)
    found = {file.name: file for file in listing.files}
    archives = [other for other in found if other.endswith(".expert") and other != name]
    alone = not archives and _MANIFEST not in found
    named = HubReference(target.repository, target.revision, None if alone else name)
    files: dict[str, Path | bytes] = {}
    if not _has(found.get(name), package.source):
        files[name] = package.source
    digest_file = sidecar(name, package.digest)
    if files or _present(hub, listing, found.get(f"{name}.sha256")) != digest_file.decode():
        files[f"{name}.sha256"] = digest_file
    if not files and not force:
        return Published(None, named, (), readme_kept=False)
    before = _present(hub, listing, found.get(README))
    card = model_card(replace(facts, reference=str(replace(named, revision=None))))
    is_foreign = README in found and before is None
    text = None if is_foreign and not force else readme_with(card, None if force else before)
    if text is not None and text != before:
        files[README] = text.encode()
    if not files:
        return Published(None, named, (), readme_kept=False)
    identity = package.manifest.identity
    commit = commit_files(
        hub,
        listing,
        files,
        message=message or f"{identity}: {'package' if name in files else 'model card'}",
        create_pr=create_pr,
        show_progress=show_progress,
    )
    _compare(commit, files, package)
    return Published(commit.url, named, tuple(files), readme_kept=text is None)


def _has(file: HubFile | None, path: Path) -> bool:
    return file is not None and difference(path, file) is None


def _present(hub: Hub, listing: Listing, file: HubFile | None) -> str | None:
    """The text of a small file of the repository; None if there is none, or it is no such text."""
    if file is None or file.size > MAX_README:
        return None
    path = fetch_files(hub, listing, [file.name]) / file.name
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def _compare(commit: Commit, files: Mapping[str, object], package: Package) -> None:
    """The archive on the Hub must be the one that was checked, even if its file has changed."""
    name = package.source.name
    if name not in files:
        return
    file = next(file for file in commit.listing.files if file.name == name)
    is_large = len(file.digest) == len(package.digest)
    same = file.digest == package.digest if is_large else _has(file, package.source)
    if not same:
        raise LoadError(
            f"{name} on the Hub is not the file that was checked\n"
            f"  found    {file.digest}\n  expected {package.digest}\n"
            f"Was {package.source} written meanwhile? Push it again. See {commit.url}."
        )
