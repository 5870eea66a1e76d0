"""Addresses on the web, as users write them: checked, and shown without what is secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from ..loopback import is_loopback

__all__ = ["Address", "AddressError", "parse_address", "without_secrets"]

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s@]*(?:@[^/?#\s@]*)*@")
_QUERY = re.compile(r"(://[^\s?#'\"]*)\?[^\s#'\"]*")
_REFUSED = re.compile(r"[^!-~]|[\"<>\\^`{|}]")


class AddressError(ValueError):
    """The text is no address that can be used. The message says why, without credentials."""


@dataclass(frozen=True, repr=False)
class Address:
    """A checked address. ``user`` and ``password`` are decoded; None if they are not given.

    ``str()`` shows the address without credentials and query, which may be secret.
    """

    parts: SplitResult
    user: str | None
    password: str | None

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def host(self) -> str:
        """The host's name or number, in lower case."""
        return self.parts.hostname or ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who receives what is sent."""
        default = {"https": 443, "http": 80, "ssh": 22}.get(self.scheme, 0)
        return (self.scheme, self.host, self.parts.port or default)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, by its number or as ``localhost``."""
        return is_loopback(self.host)

    @property
    def is_trustworthy(self) -> bool:
        """Whether files may be had from there: over https, or over http from this machine."""
        return self.scheme == "https" or (self.scheme == "http" and self.is_loopback)

    @property
    def url(self) -> str:
        """The address without credentials and fragment."""
        return urlunsplit(self.parts._replace(netloc=self._place(), fragment=""))

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.parts.path)

    def url_for(self, user: str) -> str:
        """The address with a user's name, which ``ssh`` needs, and without a password."""
        return urlunsplit(self.parts._replace(netloc=f"{user}@{self._place()}", fragment=""))

    def _place(self) -> str:
        """Host and port. urllib leaves the host as it was written, with its brackets."""
        return self.parts.netloc.rpartition("@")[2].lower()

    def __str__(self) -> str:
        return urlunsplit(self.parts._replace(netloc=self._place(), query="", fragment=""))

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def parse_address(text: str) -> Address:
    """Read ``scheme://[user[:password]@]host[:port][/path][?query][#fragment]``.

    Raises AddressError for everything that two programs may read in two ways: spaces, control
    characters, backslashes, letters beyond ASCII, a port that is no number.
    """
    if found := _REFUSED.search(text):
        raise AddressError(
            f"{without_secrets(text)!r}: the character {found[0]!r} cannot stand in an address\n"
            f"Write it as {''.join(f'%{byte:02X}' for byte in found[0].encode(errors='replace'))}."
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"{without_secrets(text)}: no address ({error})") from None
    if not host or host.startswith("-"):
        raise AddressError(f"{without_secrets(text)}: no host in this address")
    user = unquote(parts.username) if parts.username is not None else None
    password = unquote(parts.password) if parts.password is not None else None
    return Address(parts, user, password)


def without_secrets(text: str) -> str:
    """``text`` with the credentials and queries of all addresses in it removed."""
    return _QUERY.sub(r"\1?…", _CREDENTIALS.sub("", text))
