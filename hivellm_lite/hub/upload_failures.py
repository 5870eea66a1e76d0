"""What can go wrong when files are sent to the Hub, put into words that help."""

from __future__ import annotations

import os
from json import JSONDecodeError
from typing import Any

from ..errors import LoadError
from .failures import seconds_to_wait
from .reference import MAIN, HubReference

__all__ = ["explain_upload", "token_in_use"]

_WHOLE = "A commit counts whole or not at all, so nothing is half there."


def token_in_use() -> str:
    """Where the client's token is from, in words. The token itself is never told."""
    variables = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
    return f"the token in {variables[0]}" if variables else "the token that 'hf auth login' stored"


def explain_upload(
    error: Exception, endpoint: str, reference: HubReference, token: str
) -> LoadError:
    """The error to raise instead. ``token`` is taken out of what the server said."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return LoadError("nothing was uploaded: HF_HUB_OFFLINE is set\nUnset it, then push again.")
    if isinstance(error, HfHubHTTPError):
        return LoadError(_answered(error, endpoint, reference).replace(token, "…"))
    reason = (str(error) or type(error).__name__).replace(token, "…")
    if isinstance(error, JSONDecodeError | KeyError):
        return LoadError(
            f"{endpoint} answered something that is not the Hub's: {reason}\n"
            f"{_WHOLE} Check HF_ENDPOINT, and whether a proxy stands between."
        )
    if isinstance(error, RuntimeError | ValueError):
        return LoadError(
            f"the upload to {reference} failed: {reason}\n"
            f"{_WHOLE} Push again; if the package is there, push says so."
        )
    return LoadError(
        f"the upload to {reference} broke off: {reason}\n"
        f"{_WHOLE} Check the network (and HTTPS_PROXY, HF_ENDPOINT), then push again."
    )


def _answered(error: Any, endpoint: str, reference: HubReference) -> str:
    """The message for an answer of the Hub that is a refusal."""
    from huggingface_hub.errors import RevisionNotFoundError

    status: int = error.response.status_code
    said = f": {error.server_message}" if error.server_message else ""
    repository = reference.repository
    owner = repository.split("/")[0]
    tokens = f"{endpoint}/settings/tokens"
    if isinstance(error, RevisionNotFoundError):
        branch = reference.revision or MAIN
        return (
            f"{repository} has no branch {branch!r}\n"
            f"Make it first: hf repos branch create {repository} {branch}"
        )
    if status == 401:
        return (
            f"the Hub does not accept {token_in_use()} (401){said}\n"
            f"Make one with write access at {tokens}, then 'hf auth login', or set HF_TOKEN."
        )
    if status == 403:
        return (
            f"{token_in_use()} may not write to {repository} (403){said}\n"
            f"Use one with write access to {owner}'s repositories ({tokens}), or propose the "
            "files as a pull request: --create-pr."
        )
    if status == 404:
        return (
            f"{repository} is not at {endpoint}, or {token_in_use()} does not show it (404){said}\n"
            "Check the name, and whose token it is: 'hf auth whoami'."
        )
    if status in (409, 412):
        return (
            f"{repository} was changed by somebody else meanwhile ({status}){said}\n"
            "Nothing was uploaded. Push again."
        )
    if status == 429:
        seconds = seconds_to_wait(error.response.headers)
        when = f"in {seconds} seconds" if seconds else "in a few minutes"
        return f"the Hub takes no upload for now: too many requests (429)\nPush again {when}."
    if status >= 500:
        return (
            f"the Hub has a problem of its own (HTTP {status}){said}\n"
            f"{_WHOLE} Push again later; https://status.huggingface.co says more."
        )
    return f"the Hub refuses the upload to {reference} (HTTP {status}){said or f': {error}'}"
