"""The names of installed experts, for a shell that waits: read quickly, and no error ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["installed_names"]


def installed_names() -> Mapping[str, Sequence[str]]:
    """The versions of each installed expert, the newest first; none if the registry is broken."""
    return {}
