"""How much an archive may hold, counted while it is unpacked."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LIMITS", "Budget", "Limits", "Refused"]


class Refused(Exception):
    """The archive breaks a rule of unpacking. The message names member and rule."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold."""

    total_bytes: int = 1 << 30
    """All that comes out. Real packages have 26 to 34 MB; an adapter is no base model."""

    archive_bytes: int = (1 << 30) + (64 << 20)
    """The file itself, which is hashed before it is opened: packing makes nothing larger."""

    members: int = 4096
    """Entries, folders included. Real packages have about fifteen and their tests."""

    depth: int = 16
    """Folders within folders. Real packages use three levels."""

    path_bytes: int = 240
    """Length of a path in UTF-8. File systems stop at 255 for one component."""

    ratio: int = 200
    """Bytes out for each byte in. Weights reach 4 and JSON 20; zeros reach 1030."""

    ratio_free_bytes: int = 64 << 20
    """Bytes of output before the ratio counts: an adapter that is all zeros is legitimate, and
    64 MiB harm nobody."""


LIMITS = Limits()
"""The limits that packages are held to."""


class Budget:
    """Counts members and the bytes that come out of the decompressor."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self._limits = limits
        self._by_ratio = max(limits.ratio_free_bytes, limits.ratio * archive_bytes)
        self._spent = 0
        self._members = 0

    def member(self) -> None:
        """Count one more; raises Refused."""
        self._members += 1
        if self._members > self._limits.members:
            raise Refused(f"more than {self._limits.members} members")

    def spend(self, count: int) -> None:
        """Count bytes; raises Refused."""
        self._spent += count
        if self._spent > self._limits.total_bytes:
            raise Refused(f"more than {self._limits.total_bytes / 1e6:.0f} MB come out of it")
        if self._spent > self._by_ratio:
            raise Refused(f"a decompression bomb: over {self._limits.ratio} bytes for each byte")
