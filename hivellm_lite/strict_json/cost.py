"""What JSON will take in memory, counted from its bytes before it is parsed.

Every JSON value becomes a Python object: ``[]`` and its comma, three bytes, take 72. So a limit on
the size of a file does not limit the memory; this bound does::

    json_memory(b"[[],[],[]]")  # an upper bound in bytes

The bound covers what stays in memory. While a string with escapes is read, its pieces take as much
again. Brackets, commas and colons inside strings are counted as if they stood outside, which real
files have few of.
"""

from __future__ import annotations

__all__ = ["json_memory"]

# Sizes in CPython 3.10 to 3.13 on 64 bits, garbage collector's header and allocation included.
_LIST = 96
_DICT = 240
_SCALAR = 72
_SLOT = 16
"""A list's pointer to an item, with what a growing list holds in reserve."""

_KEY = 192
"""A key and its place in a dictionary, with what a growing dictionary holds in reserve and
the pair that a hook is given."""

_CONTINUATION = bytes(range(0x80, 0xC0))
_WIDE = bytes(range(0xC4, 0x100))
_WIDEST = bytes(range(0xF0, 0x100))
_BLANK = b" \t\r\n"


def json_memory(data: bytes) -> int:
    """Upper bound of the bytes that the text of ``data`` and its values take together."""
    lists, objects = data.count(b"["), data.count(b"{")
    colons, commas = data.count(b":"), data.count(b",")
    # Each container that is not empty has one value more than commas, and is a value itself.
    scalars, slots = commas + 1, commas + lists + objects + 1
    values = lists * _LIST + objects * _DICT + colons * _KEY + slots * _SLOT + scalars * _SCALAR
    # One character beyond Latin-1, or beyond the first 65,536, widens the whole string.
    n_characters = len(data) - _count(data, _CONTINUATION)
    width = 4 if _count(data, _WIDEST) else 2 if _count(data, _WIDE) else 1
    n_in_strings = n_characters - _count(data, _BLANK)
    string_width = 4 if b"\\u" in data else width
    return n_characters * width + n_in_strings * string_width + values


def _count(data: bytes, characters: bytes) -> int:
    return len(data) - len(data.translate(None, characters))
