"""Where a package comes from, as a user writes it.

``parse_source`` reads every form; ``text`` of a source is what is kept of it: it names the same
package, and holds no password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote
from urllib.request import url2pathname

from ..errors import PackageError
from ..hub import HubReference, parse_reference
from ..user_paths import is_file, is_folder, noted_path, path_exists, shown_path, user_path
from .addresses import Address, AddressError, parse_address, without_secrets

__all__ = [
    "FORMS",
    "ArchiveFile",
    "Folder",
    "GitRepository",
    "HubRepository",
    "Source",
    "WebFile",
    "parse_source",
]

FORMS = """\
A package can come from:
  PATH                               an .expert file, or a folder
  file:///PATH                       the same, as an address
  owner/repo[@revision][:file]       the Hugging Face Hub
  git+https://HOST/PATH[#ref]        a git repository: a branch, a tag or a whole commit
  git+ssh://USER@HOST/PATH[#ref]
  git+file:///PATH[#ref]
  https://HOST/FILE#sha256=DIGEST    a file on the web, with its SHA-256"""

_SCHEME = re.compile(r"(?:git\+)?[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")

# What git itself refuses in the name of a branch or tag, and what begins a refspec or an option.
_NO_REF = re.compile(
    r"^[-+^/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[/.]$|^@$|^$"
)


@dataclass(frozen=True)
class ArchiveFile:
    """A packed package on this machine. ``path`` is absolute."""

    path: Path

    @property
    def text(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Folder:
    """A folder on this machine. ``path`` is absolute."""

    path: Path

    @property
    def text(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class HubRepository:
    """A package on the Hugging Face Hub."""

    reference: HubReference

    @property
    def text(self) -> str:
        return str(self.reference)


@dataclass(frozen=True, repr=False)
class GitRepository:
    """A git repository, at the branch, tag or whole commit ``ref``, or its default branch.

    ``url`` is what git is given; it may hold a password, which ``text`` does not.
    """

    url: str
    ref: str | None = None

    @property
    def public_url(self) -> str:
        """The address without a password. Over ssh the user's name is a part of the address."""
        if self.url.startswith("file:"):
            return self.url
        address = parse_address(self.url)
        if address.scheme == "ssh" and address.user:
            return address.url_for(address.user)
        return address.url

    @property
    def is_pinned(self) -> bool:
        """Whether ``ref`` is a whole commit, which always means the same files."""
        return self.ref is not None and _COMMIT.fullmatch(self.ref) is not None

    def at(self, ref: str) -> GitRepository:
        return GitRepository(self.url, ref)

    @property
    def text(self) -> str:
        return f"git+{self.public_url}{f'#{self.ref}' if self.ref else ''}"

    def __repr__(self) -> str:
        return f"GitRepository({self.text!r})"


@dataclass(frozen=True, repr=False)
class WebFile:
    """A packed package at an address, with its SHA-256; None if none was given.

    ``url`` may hold a user's name and password, which ``text`` does not.
    """

    url: str
    sha256: str | None = None

    @property
    def text(self) -> str:
        digest = f"#sha256={self.sha256}" if self.sha256 else ""
        return f"{parse_address(self.url).url}{digest}"

    def __repr__(self) -> str:
        return f"WebFile({self.text!r})"


Source: TypeAlias = ArchiveFile | Folder | HubRepository | GitRepository | WebFile


def parse_source(text: str, *, relative_to: Path | None = None) -> Source:
    """The source that ``text`` names; for the forms see `FORMS`.

    A file or folder that exists is preferred to a repository of the same name. Relative paths
    start at ``relative_to``, or where the program runs. Raises PackageError, which lists the
    forms.
    """
    scheme = _SCHEME.match(text)
    try:
        if scheme is not None and text[scheme.end() :].startswith((":", "//")):
            return _addressed(text, scheme[0].lower(), relative_to)
    except AddressError as error:
        raise PackageError(f"{error}\n{FORMS}") from None
    path = user_path(text)
    if text and (found := _local(path, relative_to)):
        return found
    reference = parse_reference(text)
    if reference is not None and (reference.file or ".expert").endswith(".expert"):
        return HubRepository(reference)
    raise PackageError(f"{_shown(text)}: no such file or folder, and no address\n{FORMS}")


def _addressed(text: str, scheme: str, relative_to: Path | None) -> Source:
    if scheme == "file:":
        return _file_address(text, relative_to)
    if scheme in ("git+https:", "git+http:", "git+ssh:", "git+file:"):
        return _git_address(text[len("git+") :], scheme.removeprefix("git+"), relative_to)
    if scheme in ("https:", "http:"):
        return _web_address(text)
    offered = "https, ssh or file" if scheme.startswith("git+") else "https, file or git+https"
    raise PackageError(f"{_shown(text)}: {scheme} is not supported, use {offered}\n{FORMS}")


def _file_address(text: str, relative_to: Path | None) -> Source:
    path = _path_of(text)
    found = _local(path, relative_to)
    if found is None:
        raise PackageError(f"{_shown(text)}: no such file or folder: {shown_path(path)}")
    return found


def _path_of(text: str) -> Path:
    """The path of ``file:///path``, ``file://localhost/path``, or HiveLLM's ``file://./path``."""
    if not text[len("file:") :].startswith("//"):
        raise AddressError(f"{_shown(text)}: write file:// before the path")
    rest = text[len("file://") :]
    host, slash, path = rest.partition("/")
    if host.lower() in ("", "localhost") and slash:
        return Path(url2pathname(f"/{path}"))
    if host in (".", "..", "~") or re.fullmatch(r"[A-Za-z]:", host):
        return user_path(unquote(rest))
    raise AddressError(
        f"{_shown(text)}: a file of another machine ({host})\n"
        "Three slashes begin a path on this one: file:///home/me/sql.expert"
    )


def _local(path: Path, relative_to: Path | None) -> ArchiveFile | Folder | None:
    place = noted_path(relative_to / path if relative_to is not None else path)
    if is_folder(place):
        return Folder(place)
    if is_file(place):
        return ArchiveFile(place)
    if path_exists(place):
        raise PackageError(f"{shown_path(place)}: neither a file nor a folder")
    return None


def _git_address(text: str, scheme: str, relative_to: Path | None) -> GitRepository:
    rest, hash_sign, ref = text.partition("#")
    if hash_sign and (problem := _NO_REF.search(ref)):
        raise PackageError(
            f"git+{_shown(text)}: {ref!r} cannot be a branch, tag or commit: "
            f"{problem[0] or 'nothing'!r}"
        )
    if scheme == "file:":
        path = _path_of(rest)
        place = noted_path(relative_to / path if relative_to is not None else path)
        if not is_folder(place):
            raise PackageError(f"git+{_shown(rest)}: no such folder: {shown_path(place)}")
        return GitRepository(place.as_uri(), ref or None)
    address = _checked(rest)
    if not address.path.strip("/"):
        raise AddressError(f"git+{address}: no repository in this address")
    if (address.user or "").startswith("-") or address.path.startswith("/-"):
        raise AddressError(f"git+{address}: a name that begins with '-'")
    return GitRepository(rest, ref or None)


def _web_address(text: str) -> WebFile:
    address = _checked(text)
    fragment = address.parts.fragment
    name, _, digest = fragment.partition("=")
    digest = digest.lower().removeprefix("sha256:")
    if name.lower() == "sha256" and _SHA256.fullmatch(digest):
        return WebFile(text.partition("#")[0], digest)
    if fragment:
        raise PackageError(
            f"{address}: #{fragment:.80} is no digest\n"
            "Expected #sha256= and 64 hexadecimal digits, as 'sha256sum' prints them."
        )
    return WebFile(text)


def _checked(text: str) -> Address:
    address = parse_address(text)
    if address.scheme == "http" and not address.is_loopback:
        raise AddressError(
            f"{address}: http is neither encrypted nor certain to be the right server\nUse https."
        )
    return address


def _shown(text: str) -> str:
    shown = shown_path(without_secrets(text))
    return shown if shown.isprintable() else repr(shown)
