"""From the text that a user gives ``install`` to the files of a package.

``source`` reads the text, and ``addresses`` what is an address in it. ``fetching`` brings the
files of every kind of source: ``web`` from the web, ``git`` out of a repository. ``settings`` says
which indexes are read; ``index`` finds experts in them, and ``index_making`` makes one.

Private: may change in any release.
"""

from .fetching import Fetched, fetch
from .source import (
    ArchiveFile,
    Folder,
    GitRepository,
    HubRepository,
    Source,
    WebFile,
    parse_source,
)

__all__ = [
    "ArchiveFile",
    "Fetched",
    "Folder",
    "GitRepository",
    "HubRepository",
    "Source",
    "WebFile",
    "fetch",
    "parse_source",
]
