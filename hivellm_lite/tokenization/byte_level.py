"""The spelling of bytes in byte-level BPE vocabularies: one printable character per byte.

Source: ``bytes_to_unicode`` in GPT-2's encoder.py.
"""

from __future__ import annotations

__all__ = ["ALPHABET", "from_byte_level", "to_byte_level"]

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_CHARACTERS = {
    **{byte: byte for byte in _PRINTABLE},
    **{byte: 0x100 + place for place, byte in enumerate(_OTHERS)},
}
_BYTES = {chr(character): byte for byte, character in _CHARACTERS.items()}

ALPHABET = frozenset(_BYTES)
"""The 256 characters."""


def to_byte_level(text: str) -> str:
    """The UTF-8 bytes of ``text``, in this spelling."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1").translate(_CHARACTERS)


def from_byte_level(spelled: bytes) -> bytes:
    """The bytes that ``spelled`` (UTF-8) stands for; unchanged if it is not in this spelling."""
    try:
        return bytes([_BYTES[character] for character in spelled.decode()])
    except (KeyError, UnicodeDecodeError):
        return spelled
