"""The spelling of bytes that byte-level BPE vocabularies use: one printable character each.

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
    """The UTF-8 bytes of ``text``, spelled."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1").translate(_CHARACTERS)


def from_byte_level(spelled: bytes) -> bytes:
    """The bytes that ``spelled``, itself in UTF-8, stands for; as it is if it is no such text."""
    try:
        return bytes([_BYTES[character] for character in spelled.decode()])
    except (KeyError, UnicodeDecodeError):
        return spelled
