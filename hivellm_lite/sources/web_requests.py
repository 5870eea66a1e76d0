"""Asks web servers for files: which redirects are followed, who gets credentials, what errors mean.

Requests go through the session of ``huggingface_hub``, for its proxies and certificates. The token
of the Hub is never sent.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin

from .._version import __version__
from ..errors import LoadError, PackageError
from ..hub.connection import TIMEOUT_S
from ..hub.failures import seconds_to_wait
from .addresses import Address, AddressError, parse_address, without_secrets

__all__ = ["explain_web", "open_address"]

MAX_REDIRECTS = 5

_REDIRECTS = (301, 302, 303, 307, 308)
_ACCEPTED = (200, 206, 304)
_IN_ADDRESSES = "%/:=&?~#+!$,;@()*[]-._"


@contextlib.contextmanager
def open_address(address: Address, **headers: str) -> Iterator[Any]:
    """The answer to a GET, its status 200, 206 or 304, and its body not yet read.

    Redirects are followed to https addresses, and from this machine to itself. Raises PackageError
    for other redirects, and ``transport_errors()``, which `explain_web` puts into words.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError

    session = get_session()
    target = address
    for _ in range(MAX_REDIRECTS + 1):
        with session.stream(
            "GET",
            target.url,
            headers=_headers(address, target, headers),
            timeout=TIMEOUT_S,
            follow_redirects=False,
        ) as response:
            status: int = response.status_code
            if status in _ACCEPTED:
                yield response
                return
            if status not in _REDIRECTS:
                raise HfHubHTTPError(f"HTTP {status}", response=response)
            target = _redirected(address, target, response.headers.get("location", ""))
    raise PackageError(f"{address} redirects over {MAX_REDIRECTS} times\nCheck the address.")


def explain_web(error: Exception, address: Address) -> LoadError:
    """The error to raise instead of a transport error.

    PackageError if there is nothing to be had at the address, otherwise LoadError.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return LoadError(f"{address} was not asked: HF_HUB_OFFLINE is set")
    if not isinstance(error, HfHubHTTPError):
        reason = without_secrets(str(error)) or type(error).__name__
        return LoadError(
            f"the connection to {address.host} failed: {reason}\n  asked for {address}\n"
            "Check the address and the network (and HTTPS_PROXY), then try again."
        )
    status: int = error.response.status_code
    if status in (404, 410):
        return PackageError(
            f"{address.host} has no such file ({status}): {address}\n"
            "Check the address; its author may have moved it."
        )
    if status in (401, 403):
        given = address.user is not None
        advice = (
            "The user and password in the address do not give access."
            if given
            else "If you have access, write https://USER:PASSWORD@…, or download the file yourself "
            "and install that. For the Hub write owner/repository instead of an address."
        )
        return PackageError(f"{address.host} refuses access ({status}): {address}\n{advice}")
    if status == 429:
        seconds = seconds_to_wait(error.response.headers)
        when = f"in {seconds:.20} seconds" if seconds else "in a few minutes"
        return LoadError(
            f"{address.host} refuses for now: too many requests (429)\n  asked for {address}\n"
            f"Try again {when}."
        )
    if status >= 500:
        return LoadError(
            f"{address.host} has a problem of its own (HTTP {status})\n  asked for {address}\n"
            "Try again later."
        )
    return LoadError(f"{address.host} refuses (HTTP {status}): {address}\nCheck the address.")


def _headers(address: Address, target: Address, more: dict[str, str]) -> dict[str, str]:
    """Credentials go only to the server that they were given for."""
    # "identity": a digest is that of the file, not of a compressed copy.
    headers = {"user-agent": f"hivellm_lite/{__version__}", "accept-encoding": "identity"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if address.user is not None and target.origin == address.origin:
        pair = f"{address.user}:{address.password or ''}".encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return headers


def _redirected(address: Address, target: Address, location: str) -> Address:
    try:
        new = parse_address(quote(urljoin(target.url, location), safe=_IN_ADDRESSES))
    except (AddressError, ValueError):
        raise _no_redirect(address, location) from None
    at_home = new.scheme == "http" and new.is_loopback and address.is_loopback
    if new.scheme == "https" or at_home:
        return new
    raise _no_redirect(address, location)


def _no_redirect(address: Address, location: str) -> PackageError:
    return PackageError(
        f"{address} redirects to {without_secrets(location)!r:.200}, which is no https address\n"
        "Nothing was fetched. Ask the author for an address that stays with https."
    )
