"""Writes one model as several GGUF files, one for each kind of tensor.

llama.cpp loads a list of files as one model. A base stored this way shares,
memory-mapped, every kind of tensor that a variant does not bring itself.

The first file holds the metadata and no tensor, byte for byte as the source has
them; each other one all tensors of a kind (``attn_q``, ``token_embd`` …), byte
for byte too. Every file carries its place in the list, so a variant's file for
a kind takes exactly the place of the base's.

Source: ``llama_model_loader`` in src/llama-model-loader.cpp of llama.cpp.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import ConversionError
from .header import GGUFHeader, read_gguf_header
from .types import type_number

__all__ = [
    "METADATA_FILE",
    "PartTensor",
    "copied",
    "kind_file",
    "kind_of",
    "split_gguf",
    "split_metadata",
    "text_value",
    "write_gguf",
    "write_part",
]

METADATA_FILE = "metadata.gguf"

ALIGNMENT = 32
"""GGUF's default alignment of tensor data, in bytes; every part uses it."""

_LAYER = re.compile(r"blk\.\d+\.")
_UINT16, _INT32, _STRING = 2, 5, 8
_COPY_BYTES = 8 << 20


def kind_of(tensor: str) -> str:
    """``attn_q`` of ``blk.3.attn_q.weight``, ``token_embd`` of ``token_embd.weight``.

    A bias belongs to the kind of its weight.
    """
    return _LAYER.sub("", tensor).rsplit(".", 1)[0]


def kind_file(kind: str) -> str:
    """File name of a kind's part."""
    return f"{kind}.gguf"


@dataclass(frozen=True)
class PartTensor:
    """One tensor of a part: ``write(file)`` writes exactly ``n_bytes``."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    n_bytes: int
    write: Callable[[BinaryIO], None]


def split_gguf(
    source: Path,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write the parts of ``source`` into ``folder``; returns their names in loading order.

    ``progress`` is called with the bytes copied so far and in all. Raises
    ConversionError for a file that is split already or has tensors of a type
    that is not known.
    """
    header = read_gguf_header(source)
    if header.metadata.get("split.count", 1) not in (0, 1):
        raise ConversionError(f"{source} is one part of a split model; merge it first")
    kinds: dict[str, list[str]] = {}
    for name in header.tensors:
        kinds.setdefault(kind_of(name), []).append(name)
    names = [METADATA_FILE, *(kind_file(kind) for kind in kinds)]
    total = sum(tensor.n_bytes for tensor in header.tensors.values())
    done = 0

    def report(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        if progress is not None:
            progress(done, total)

    split_metadata(header, folder / METADATA_FILE, len(names))
    for number, (kind, tensors) in enumerate(kinds.items(), start=1):
        parts = [copied(header, name, report) for name in tensors]
        write_part(folder / kind_file(kind), number, parts)
    return names


def copied(
    header: GGUFHeader,
    source: str,
    report: Callable[[int], None] | None = None,
    *,
    name: str | None = None,
) -> PartTensor:
    """The tensor ``source`` of ``header``'s file, byte for byte, called ``name`` in the part.

    ``report`` is called with the bytes of each piece that was copied.
    """
    tensor = header.tensors[source]

    def copy(target: BinaryIO) -> None:
        left = tensor.n_bytes
        with header.path.open("rb") as file:
            file.seek(header.data_offset + tensor.offset)
            while left:
                data = file.read(min(left, _COPY_BYTES))
                if not data:
                    raise ConversionError(f"{header.path}: {source} is cut off")
                target.write(data)
                left -= len(data)
                if report is not None:
                    report(len(data))

    return PartTensor(name or source, tensor.shape, tensor.type_name, tensor.n_bytes, copy)


def write_part(out: Path, number: int, tensors: Sequence[PartTensor]) -> None:
    """Write part ``number`` of the list."""
    write_gguf(out, {"split.no": (_UINT16, struct.pack("<H", number))}, tensors)


def write_gguf(
    out: Path, keys: Mapping[str, tuple[int, bytes]], tensors: Sequence[PartTensor]
) -> None:
    """Write a GGUF file, one tensor after another.

    ``keys`` are pairs of GGUF's number of a type and the value's bytes, by name.
    """
    encoded = b"".join(_key(name, *value) for name, value in keys.items())
    infos, offset = b"", 0
    for tensor in tensors:
        infos += _string(tensor.name) + struct.pack("<I", len(tensor.shape))
        infos += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        infos += struct.pack("<IQ", type_number(tensor.type_name), offset)
        offset += _padded(tensor.n_bytes)
    with out.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + encoded + infos)
        _pad(file)
        for tensor in tensors:
            before = file.tell()
            tensor.write(file)
            written = file.tell() - before
            if written != tensor.n_bytes:
                raise ConversionError(
                    f"{tensor.name}: {written} bytes were written instead of {tensor.n_bytes}"
                )
            _pad(file)


def split_metadata(header: GGUFHeader, out: Path, n_parts: int) -> None:
    """Write the first part: the source's key-value bytes unchanged, and that it is the
    first of ``n_parts``.
    """
    added: Mapping[str, tuple[int, bytes]] = {
        "split.no": (_UINT16, struct.pack("<H", 0)),
        "split.count": (_UINT16, struct.pack("<H", n_parts)),
        "split.tensors.count": (_INT32, struct.pack("<i", len(header.tensors))),
    }
    if present := added.keys() & header.metadata.keys():
        raise ConversionError(f"{header.path} already has {', '.join(sorted(present))}")
    start = 4 + struct.calcsize("<IQQ")
    with header.path.open("rb") as file:
        file.seek(start)
        keys = file.read(header.metadata_end - start)
    n_keys = len(header.metadata) + len(header.arrays) + len(added)
    keys += b"".join(_key(name, *value) for name, value in added.items())
    with out.open("wb") as target:
        target.write(b"GGUF" + struct.pack("<IQQ", header.version, 0, n_keys) + keys)
        _pad(target)


def text_value(text: str) -> tuple[int, bytes]:
    """A string as a value of `write_gguf`."""
    return _STRING, _string(text)


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _string(name) + struct.pack("<I", kind) + value


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(bytes(_padded(file.tell()) - file.tell()))
