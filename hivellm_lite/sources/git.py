"""Fetches one commit of a git repository, and takes the package out of it."""

from __future__ import annotations

from pathlib import Path

from ..archive.limits import LIMITS
from ..errors import LoadError, PackageError
from ..hub import Hub
from ..progress import Progress
from ..storage.held_files import delete_tree
from .git_failures import explain_git, is_broken_connection
from .git_files import write_package_files
from .git_program import STALLED_S, GitFailed, GitTooLarge, run_git
from .source import GitRepository

__all__ = ["fetch_commit"]

_REMOTE = "hivellm-source"


def fetch_commit(
    source: GitRepository,
    folder: Path,
    *,
    hub: Hub,
    progress: Progress | None,
    max_bytes: int = LIMITS.archive_bytes,
    stalled_s: float = STALLED_S,
) -> tuple[Path, str]:
    """Fetch into ``folder``; returns the package's folder or archive, and the commit.

    Only the newest commit is fetched, without history, and no more than ``max_bytes``. Raises
    PackageError if there is no such repository, ref or package, and LoadError if offline, if git
    is not there, or if the network fails.
    """
    scheme = source.url.partition(":")[0].lower()
    if hub.offline and scheme != "file":
        raise LoadError(
            f"{source.text} was not fetched: offline\n"
            "Allow the network (HF_HUB_OFFLINE=0, without --offline), or clone it beforehand."
        )
    label = f"Fetching {source.public_url}"
    if progress is not None:
        progress(label, 0, 1)
    repository, files = folder / "repository.git", folder / "files"
    try:
        commit = _fetch(source, scheme, repository, hub, max_bytes, stalled_s)
        files.mkdir()
        path = write_package_files(repository, commit, files, source.public_url)
    except GitFailed as error:
        raise explain_git(str(error), source) from None
    except GitTooLarge:
        raise PackageError(
            f"{source.public_url}: over {max_bytes / 1e6:.0f} MB, the most that is fetched\n"
            "If you trust it, clone it with git and install its folder."
        ) from None
    except OSError as error:
        raise LoadError(f"cannot write {error.filename or folder}: {error.strerror}") from error
    finally:
        delete_tree(repository)
    if progress is not None:
        progress(label, 1, 1)
    return path, commit


def _fetch(
    source: GitRepository,
    scheme: str,
    repository: Path,
    hub: Hub,
    max_bytes: int,
    stalled_s: float,
) -> str:
    """Fetch what ``source.ref`` is into a new bare repository; returns its commit."""
    run_git(repository, ["init", "--quiet", "--bare", "--template="])
    # In a file, because every user of the machine sees the arguments of programs.
    url = source.url.replace("\\", "\\\\").replace('"', '\\"')
    config = repository / "config"
    config.chmod(0o600)
    with config.open("a", encoding="utf-8") as file:
        file.write(f'[remote "{_REMOTE}"]\n\turl = "{url}"\n\ttagOpt = --no-tags\n')
    failures = 0
    while True:
        try:
            run_git(
                repository,
                [
                    *("fetch", "--depth=1", "--no-tags", "--no-recurse-submodules", "--progress"),
                    *("--end-of-options", _REMOTE, source.ref or "HEAD"),
                ],
                scheme=scheme,
                max_bytes=max_bytes,
                watched=repository,
                stalled_s=stalled_s,
            )
        except GitFailed as error:  # noqa: PERF203 - this loop is for errors
            failures += 1
            if failures > hub.retries or not is_broken_connection(str(error)):
                raise
            hub.pause(failures)
        else:
            break
    found = run_git(repository, ["rev-parse", "--verify", "FETCH_HEAD^{commit}"])
    return found.decode("ascii", "replace").strip()
