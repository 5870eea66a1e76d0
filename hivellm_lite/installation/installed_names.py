"""The names of installed experts, for a shell that waits: read quickly, and never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import RegistryError

__all__ = ["installed_names"]


def installed_names() -> Mapping[str, Sequence[str]]:
    """The versions of each installed expert, the newest first; none if the registry is broken.

    `ExpertHome.read` would warn of a broken registry and look through the folders.
    """
    from .home import ExpertHome
    from .registry import MAX_BYTES, parse_registry

    found: dict[str, list[str]] = {}
    try:
        with ExpertHome().registry_path.open("rb") as file:
            registry = parse_registry(file.read(MAX_BYTES + 1), source="")
    except (OSError, RegistryError):
        return found
    for one in registry.versions():
        found.setdefault(one.name, []).append(one.version)
    return found
