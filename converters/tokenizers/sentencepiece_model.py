"""Reads ``tokenizer.model``, the protobuf file of SentencePiece: pieces, scores, options.

It reads the few fields that a GGUF vocabulary needs and skips the others.

Source: ``sentencepiece_model.proto`` of SentencePiece, and the protobuf wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConversionError

__all__ = ["Piece", "SentencePieceModel", "read_sentencepiece_model"]

MAX_FILE_BYTES = 64 << 20
"""Limit of the file. Gemma's, with 262,144 pieces, takes 4.7 MB."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""``SentencePiece.Type``. llama.cpp's token types have the same numbers."""

BPE = 2
"""``TrainerSpec.ModelType``."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    """One piece. ``score`` orders the merges, highest first."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """The pieces and options. With ``add_prefix`` every text gets a space in front.

    ``normalizer`` is the name of the normalisation rule.
    """

    pieces: tuple[Piece, ...]
    model_type: int
    normalizer: str
    add_prefix: bool
    removes_spaces: bool


def read_sentencepiece_model(path: Path) -> SentencePieceModel:
    """Parse the file ``path``. Raises ConversionError if it is damaged."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConversionError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    pieces: list[Piece] = []
    model_type, normalizer, add_prefix, removes_spaces = 1, "", True, True
    try:
        for number, value in _fields(path.read_bytes()):
            if number == 1:
                pieces.append(_piece(_message(value)))
            elif number == 2:
                for inner, option in _fields(_message(value)):
                    model_type = _integer(option) if inner == 3 else model_type
            elif number == 3:
                for inner, option in _fields(_message(value)):
                    if inner == 1:
                        normalizer = _message(option).decode()
                    elif inner == 3:
                        add_prefix = bool(_integer(option))
                    elif inner == 4:
                        removes_spaces = bool(_integer(option))
    except (ValueError, IndexError, struct.error) as error:
        raise ConversionError(f"{path}: not a SentencePiece model: {error}") from error
    if not pieces:
        raise ConversionError(f"{path}: not a SentencePiece model: it has no pieces")
    return SentencePieceModel(tuple(pieces), model_type, normalizer, add_prefix, removes_spaces)


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for number, value in _fields(data):
        if number == 1:
            text = _message(value).decode()
        elif number == 2:
            score = struct.unpack("<f", _message(value))[0]
        elif number == 3:
            kind = _integer(value)
    return Piece(text, score, kind)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (number, value) pairs of a message's fields. Values of fixed width come as bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"field {number} has the unknown wire type {wire}")
        if position + length > len(data):
            raise ValueError(f"field {number} is cut off")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes are expected")
    return value


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes stand where a number is expected")
    return value
