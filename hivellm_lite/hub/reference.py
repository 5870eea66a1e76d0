"""How something on the Hub is named: ``owner/repository[@revision][:file]``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..archive.limits import Refused
from ..archive.names import member_path

__all__ = ["MAIN", "HubReference", "parse_reference"]

MAIN = "main"
"""The revision of a reference that names none."""

_REFERENCE = re.compile(
    r"(?P<repository>[a-z0-9][\w.-]*/[a-z0-9][\w.-]*)"
    r"(?:@(?P<revision>\w[\w./-]*))?(?::(?P<file>[^:]+))?",
    re.ASCII | re.IGNORECASE,
)
_COMMIT = re.compile(r"[0-9a-f]{40}")

_FILE_SUFFIXES = (
    *(".gguf", ".safetensors", ".expert", ".json", ".gbnf"),
    *(".zip", ".gz", ".tgz", ".tar"),
)
"""``models/qwen3.gguf`` is a local file that is missing, not a repository."""


@dataclass(frozen=True)
class HubReference:
    """A repository, optionally at a revision (branch, tag or commit), optionally one file."""

    repository: str
    revision: str | None = None
    file: str | None = None

    @property
    def name(self) -> str:
        """The repository without its owner."""
        return self.repository.partition("/")[2]

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a full commit hash, which always means the same files."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubReference:
        return replace(self, revision=revision)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.repository}{revision}{f':{self.file}' if self.file else ''}"


def parse_reference(text: str) -> HubReference | None:
    """The reference that ``text`` is; None if it cannot be one."""
    match = _REFERENCE.fullmatch(text)
    if match is None or ".." in match[0] or match["repository"].lower().endswith(_FILE_SUFFIXES):
        return None
    if match["file"] is not None:
        try:
            member_path(match["file"])
        except Refused:
            return None
    return HubReference(match["repository"], match["revision"], match["file"])
