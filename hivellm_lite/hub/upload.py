"""Sends files to a repository on the Hub, all in one commit.

The client of ``huggingface_hub`` does it, with its own storage protocols, retries and token. Here
its errors become ours, and what the commit holds is compared with what was sent.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..errors import LoadError
from .connection import Hub, Listing
from .failures import transport_errors
from .reference import HubReference
from .upload_failures import explain_upload

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Commit", "commit_files", "ensure_repository"]


@dataclass(frozen=True)
class Commit:
    """What a commit holds. ``url`` is its page, or that of the pull request it waits in."""

    listing: Listing
    url: str


def ensure_repository(hub: Hub, reference: HubReference, *, private: bool = False) -> None:
    """Create the repository unless it exists. ``private`` holds for a new one only.

    Raises LoadError if offline, without a token, or if the Hub refuses.
    """
    with _explained(hub, reference) as api:
        if not api.repo_exists(reference.repository):
            api.create_repo(reference.repository, private=private or None, exist_ok=True)


def commit_files(
    hub: Hub,
    listing: Listing,
    files: Mapping[str, Path | bytes],
    *,
    message: str,
    create_pr: bool = False,
    show_progress: bool = False,
) -> Commit:
    """Add or replace ``files`` on top of the commit that ``listing`` shows.

    If the branch has moved since, nothing is committed. ``create_pr`` proposes the commit instead
    of putting it on the branch. ``show_progress``: the client's progress bars, on stderr. Raises
    LoadError.
    """
    from huggingface_hub import CommitOperationAdd

    reference = listing.reference
    with _explained(hub, reference) as api, _bars(show_progress):
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        found = api.create_commit(
            reference.repository,
            operations,
            commit_message=message,
            revision=reference.revision,
            create_pr=create_pr,
            parent_commit=listing.commit,
        )
    revision = (found.pr_revision if create_pr else None) or found.oid
    commit = Commit(hub.list_files(reference.at(revision)), found.pr_url or found.commit_url)
    # What the repository's .gitignore names, the client leaves out without an error.
    if absent := [name for name in files if name not in commit.listing.names]:
        raise LoadError(
            f"{reference.repository} does not have {absent[0]} after the commit\n"
            f"See {commit.url}. Does the repository's .gitignore name such files?"
        )
    return commit


@contextlib.contextmanager
def _explained(hub: Hub, reference: HubReference) -> Iterator[HfApi]:
    """The client; its errors become LoadError."""
    if hub.offline:
        raise LoadError(
            f"nothing was uploaded to {reference}: offline\n"
            "Allow the network (HF_HUB_OFFLINE=0), then push again."
        )
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise LoadError(
            f"nothing was uploaded to {reference}: there is no token for {hub.endpoint}\n"
            "Sign in with 'hf auth login', or set HF_TOKEN; the token needs write access."
        )
    api = HfApi(
        endpoint=hub.endpoint,
        token=token,
        library_name="hivellm_lite",
        library_version=__version__,
    )
    expected: tuple[type[Exception], ...] = (
        *transport_errors(),
        RuntimeError,
        KeyError,
        ValueError,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the client, about what is as intended
            yield api
    except expected as error:
        raise explain_upload(_cause(error), hub.endpoint, reference, token) from error


def _cause(error: Exception) -> Exception:
    """What the client's wrapper around a failed upload of one file is about."""
    cause = error.__cause__
    return cause if type(error) is RuntimeError and isinstance(cause, Exception) else error


@contextlib.contextmanager
def _bars(shown: bool) -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
