"""What git says when it fails, put into words that help."""

from __future__ import annotations

import re

from ..errors import LoadError, PackageError
from ..terminal_text import one_line
from .addresses import without_secrets
from .source import GitRepository

__all__ = ["explain_git", "is_broken_connection"]

_SHORT_COMMIT = re.compile(r"[0-9a-f]{4,39}")
_STATUS = re.compile(r"returned error: (\d{3})|HTTP (\d{3})")

_BROKEN = re.compile(
    r"early EOF|RPC failed|unexpected disconnect|hung up|Connection (?:reset|closed)|timed out"
    r"|transfer closed|end of response with \d+ bytes missing|Operation too slow"
    r"|invalid index-pack|index-pack (?:died|failed)"
)
_UNREACHABLE = re.compile(
    r"Could not resolve|Failed to connect|Couldn't connect|Connection refused|unreachable"
    r"|SSL|certificate|nothing has arrived"
)
_SIGN_IN = re.compile(
    r"could not read (?:Username|Password)|Authentication failed|terminal prompts disabled"
    r"|Permission denied|Host key verification failed|publickey"
)
_MISSING = re.compile(
    r"not found|does not appear to be a git repository|does not exist|not a git repository"
    r"|No such file or directory"
)
_NO_REF = re.compile(r"couldn't find remote ref|unadvertised object|not our ref|no such ref")

_VAGUE = re.compile(
    r"Could not read from remote repository|make sure you have the correct access"
    r"|^and the repository exists"
)
"""What git says after ssh has said more."""


def is_broken_connection(message: str) -> bool:
    """Whether another try may help."""
    status = _status(message)
    return status >= 500 if status else _BROKEN.search(message) is not None


def explain_git(message: str, source: GitRepository) -> LoadError:
    """The error to raise for what git wrote. It ends with git's own words."""
    url, status = source.public_url, _status(message)
    said = f"\n  git: {_last_line(message)}"
    if _NO_REF.search(message):
        return _no_ref(source, said)
    if status == 429:
        return LoadError(
            f"{url} refuses for now: too many requests (429){said}\nTry again in a few minutes."
        )
    if status == 403 or (status == 401 or _SIGN_IN.search(message)):
        return PackageError(
            f"{url}: no such repository, or it needs a sign-in that git does not have{said}\n"
            "Check the address. If 'git ls-remote ADDRESS' works without asking for a password, "
            "for example through a credential helper or an ssh agent, this works as well."
        )
    if status in (404, 410) or (not status and _MISSING.search(message)):
        return PackageError(f"{url}: no such repository{said}\nCheck the address.")
    if status >= 500:
        return LoadError(
            f"the server of {url} has a problem of its own (HTTP {status}){said}\nTry again later."
        )
    if _UNREACHABLE.search(message) or _BROKEN.search(message):
        broke = "cannot be reached" if _UNREACHABLE.search(message) else "broke off"
        return LoadError(
            f"{url}: the connection {broke}{said}\n"
            "Check the address and the network (and git's http.proxy), then try again."
        )
    if "dumb http transport" in message:
        return PackageError(
            f"{url}: the server only offers files, not a part of a repository{said}\n"
            "Clone the repository with git, then install the folder."
        )
    return LoadError(f"git cannot fetch {url}{said}\nTry 'git ls-remote ADDRESS' to see more.")


def _no_ref(source: GitRepository, said: str) -> PackageError:
    ref = source.ref or "HEAD"
    if source.is_pinned:
        advice = "The server has no such commit, or gives commits only by a branch or tag."
    elif _SHORT_COMMIT.fullmatch(ref):
        advice = "If this is a commit, write all 40 digits of it: servers do not know short ones."
    elif source.ref is None:
        advice = "The repository is empty, or has no default branch: add #BRANCH."
    else:
        advice = "'git ls-remote ADDRESS' lists the branches and tags."
    return PackageError(f"{source.public_url} has no {ref!r:.200}{said}\n{advice}")


def _status(message: str) -> int:
    """The HTTP status that git or curl tells; 0 if none."""
    found = _STATUS.search(message)
    return int(found[1] or found[2]) if found else 0


def _last_line(message: str) -> str:
    """The line that says what is wrong, without credentials."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", message) if line.strip()]
    lines = [line for line in lines if not _VAGUE.search(line)] or lines
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    line = (fatal or lines or ["nothing"])[-1]
    return one_line(without_secrets(line), 300)
