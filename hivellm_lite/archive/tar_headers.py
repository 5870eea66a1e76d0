"""Writes the headers of a tar by fixed values, so that only path and size make a difference.

Python's tarfile has changed what it writes between versions. Here every byte is spelled out.

Format: POSIX.1-2017, ``pax``: ustar, with an extended header where a path needs one.
"""

from __future__ import annotations

__all__ = ["BLOCK", "END", "file_header", "padding"]

BLOCK = 512

END = bytes(2 * BLOCK)
"""Two blocks of zeros end a tar."""

_MODE = 0o644
_MAX_NAME = 100
_MAX_PREFIX = 155
_FILE = b"0"
_EXTENDED = b"x"


def file_header(path: str, size: int) -> bytes:
    """The header of a regular file of ``size`` bytes, below 8 GiB: one block or three.

    Owner 0, mode 0644, time 0. A path that ustar cannot hold (longer than its fields, or not
    ASCII) stands in an extended header before it.
    """
    if (fields := _split(path)) is not None:
        return _block(*fields, size, _FILE)
    record = _record(b"path", path.encode())
    # readers that know no extended headers find this name
    shortened = path.encode("ascii", "replace").replace(b"?", b"_")[-_MAX_NAME:].lstrip(b"/")
    return (
        _block(b"././@PaxHeader", b"", len(record), _EXTENDED)
        + record
        + padding(len(record))
        + _block(shortened, b"", size, _FILE)
    )


def padding(size: int) -> bytes:
    """The zeros after ``size`` bytes of content, up to the next block."""
    return bytes(-size % BLOCK)


def _split(path: str) -> tuple[bytes, bytes] | None:
    """Name and prefix of ustar; None if the path does not fit."""
    if not path.isascii():
        return None
    whole = path.encode("ascii")
    if len(whole) <= _MAX_NAME:
        return whole, b""
    # the first slash after which the rest fits
    cut = whole.find(b"/", len(whole) - _MAX_NAME - 1)
    if not 0 < cut <= _MAX_PREFIX:
        return None
    return whole[cut + 1 :], whole[:cut]


def _record(key: bytes, value: bytes) -> bytes:
    """A record of an extended header: length, key, value. The length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest)
    while size != len(b"%d" % size) + len(rest):
        size = len(b"%d" % size) + len(rest)
    return b"%d" % size + rest


def _block(name: bytes, prefix: bytes, size: int, kind: bytes) -> bytes:
    before = b"".join(
        [
            name.ljust(_MAX_NAME, b"\0"),
            b"%07o\0" % _MODE,
            b"%07o\0" % 0,  # user
            b"%07o\0" % 0,  # group
            b"%011o\0" % size,
            b"%011o\0" % 0,  # time
        ]
    )
    after = b"".join(
        [
            kind,
            bytes(100),  # target of a link
            b"ustar\x0000",
            bytes(32),  # name of the user
            bytes(32),  # name of the group
            b"%07o\0" % 0,  # numbers of a device
            b"%07o\0" % 0,
            prefix.ljust(_MAX_PREFIX, b"\0"),
            bytes(12),
        ]
    )
    checksum = sum(before) + 8 * ord(" ") + sum(after)
    return before + b"%06o\0 " % checksum + after
