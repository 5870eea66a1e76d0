"""Errors of the network and the Hub, put into words that help."""

from __future__ import annotations

from typing import Any

from ..errors import BaseNotFoundError, LoadError
from .reference import MAIN, HubReference

__all__ = ["explain", "is_transient", "seconds_to_wait", "transport_errors"]


def transport_errors() -> tuple[type[Exception], ...]:
    """Everything that a request raises: refusals of the Hub, and broken connections.

    Connections are httpx or httpx2, whichever this ``huggingface_hub`` is built on. The base
    classes of its own error show which.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    http_error = next(base for base in HfHubHTTPError.__bases__ if base is not OSError)
    return (http_error, OfflineModeIsEnabled)


def is_transient(error: Exception, *, connecting: bool) -> bool:
    """Whether trying again may help. ``connecting``: also when no connection came about."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return False
    if isinstance(error, HfHubHTTPError):
        status: int = error.response.status_code
        return status >= 500 or status == 408
    return connecting or "Connect" not in type(error).__name__


def explain(
    error: Exception, endpoint: str, reference: HubReference, file: str | None = None
) -> LoadError:
    """The error to raise instead. ``file`` is the file that was being downloaded.

    BaseNotFoundError if something does not exist; LoadError for everything else.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    what = f"{file} of {reference.repository}" if file else str(reference)
    kept = "\nWhat has arrived is kept; the next try resumes there." if file else ""
    if isinstance(error, OfflineModeIsEnabled):
        return BaseNotFoundError(f"the Hub was not asked for {what}: HF_HUB_OFFLINE is set")
    if not isinstance(error, HfHubHTTPError):
        reason = str(error) or type(error).__name__
        advice = f"Check the network (and HTTPS_PROXY, HF_ENDPOINT), then try again.{kept}"
        if file:
            return LoadError(f"the download of {what} broke off: {reason}\n{advice}")
        return LoadError(f"cannot reach {endpoint} for {what}: {reason}\n{advice}")
    return _answered(error, endpoint, reference, what, kept)


def _answered(
    error: Any, endpoint: str, reference: HubReference, what: str, kept: str
) -> LoadError:
    """The error for an answer of the Hub that is a refusal."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RevisionNotFoundError

    status: int = error.response.status_code
    page = f"{endpoint}/{reference.repository}"
    signed_in = bool(get_token())
    sign_in = "sign in with 'hf auth login', or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        who = "the account of the token in use has not done so" if signed_in else f"then {sign_in}"
        return LoadError(
            f"{reference.repository} is gated: its owner asks for a licence to be accepted\n"
            f"Accept it at {page}; {who}."
        )
    if isinstance(error, RevisionNotFoundError):
        return BaseNotFoundError(
            f"{reference.repository} has no revision {reference.revision or MAIN!r}\n"
            f"Its branches, tags and commits: {page}/commits"
        )
    if isinstance(error, EntryNotFoundError):
        return BaseNotFoundError(
            f"{reference.repository} no longer holds {what}\nSee {page}/tree/main"
        )
    if status in (401, 404):
        # The Hub does not show strangers whether a private repository exists.
        who = "the token in use does not give access" if signed_in else sign_in
        return BaseNotFoundError(
            f"no repository {reference.repository} at {endpoint}, or it is private\n"
            f"Check the name; if it is private: {who}."
        )
    if status == 403:
        return LoadError(f"access to {what} is refused (403)\nThe token in use does not allow it.")
    if status == 429:
        seconds = seconds_to_wait(error.response.headers)
        when = f"in {seconds} seconds" if seconds else "in a few minutes"
        more = "" if signed_in else " Signed-in users may ask more often: 'hf auth login'."
        return LoadError(
            f"the Hub refuses {what} for now: too many requests (429)\n"
            f"Try again {when}.{more}{kept}"
        )
    if status >= 500:
        return LoadError(
            f"the Hub has a problem of its own (HTTP {status}), asked for {what}\n"
            f"Try again later; https://status.huggingface.co says more.{kept}"
        )
    return LoadError(f"the Hub refuses {what} (HTTP {status}): {error.server_message or error}")


def seconds_to_wait(headers: Any) -> str | None:
    """When a server that refuses with 429 may be asked again, if it says so.

    From ``Retry-After: 30``, or the Hub's own ``RateLimit: "api";r=0;t=30``.
    """
    if (value := headers.get("retry-after", "")).isdigit():
        return str(value)
    parts = [part.strip() for part in headers.get("ratelimit", "").split(";")]
    return next((part[2:] for part in parts if part.startswith("t=")), None)
