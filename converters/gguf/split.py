"""Writes one model as several GGUF files, one for each kind of tensor.

llama.cpp loads a list of files as one model. A variant of a base that is stored this way shares the
base's files, memory-mapped, for every kind of tensor that the variant does not change.

The first file holds the metadata and no tensors. Every other file holds all tensors of one kind,
such as ``attn_q`` or ``token_embd``. Both copy the source byte for byte. Every file knows its place
in the list, so a variant's file for a kind takes exactly the place of the base's file.

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
"""GGUF's default alignment of tensor data, in bytes. Every part uses it."""

_LAYER = re.compile(r"blk\.\d+\.")
_UINT16, _INT32, _STRING = 2, 5, 8
_COPY_BYTES = 8 << 20


def kind_of(tensor: str) -> str:
    """The kind of a tensor: ``attn_q`` for ``blk.3.attn_q.weight``.

    A bias belongs to the kind of its weight.
    """
    return _LAYER.sub("", tensor).rsplit(".", 1)[0]


def kind_file(kind: str) -> str:
    """The name of the file that holds a kind."""
    return f"{kind}.gguf"


@dataclass(frozen=True)
class PartTensor:
    """One tensor of a part. ``write(file)`` writes exactly ``n_bytes`` bytes of data."""

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
    """Write the parts of ``source`` into ``folder`` and return their names in loading order.

    ``source`` may be the first file of a published model in several. ``progress`` is called
    with the bytes copied so far and their total. Raises ConversionError for tensors of an
    unknown type.
    """
    header = read_gguf_header(source)
    if header.metadata.get("split.count", 1) not in (0, 1) and not header.parts:
        raise ConversionError(
            f"{source} is one part of a split model and is not called as one\n"
            "Give it its published name, …-00001-of-00003.gguf, with the others beside it."
        )
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
    """A copy of the tensor ``source`` in ``header``'s file, byte for byte, under ``name``.

    ``report`` is called with the number of bytes of each copied piece.
    """
    tensor = header.tensors[source]

    def copy(target: BinaryIO) -> None:
        left = tensor.n_bytes
        path, offset = header.place_of(source)
        with path.open("rb") as file:
            file.seek(offset)
            while left:
                data = file.read(min(left, _COPY_BYTES))
                if not data:
                    raise ConversionError(f"{path}: {source} is cut off")
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

    ``keys`` maps each key to a pair: GGUF's number of the value's type, and the value's bytes.
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


def split_metadata(
    header: GGUFHeader,
    out: Path,
    n_parts: int,
    changed: Mapping[str, tuple[int, bytes]] | None = None,
) -> None:
    """Write the first part: the source's key-value pairs, byte for byte, and its place as the
    first of ``n_parts`` instead of any place that the source has in a published model.

    ``changed`` are pairs that take the place of the source's, as for `write_gguf`.
    """
    added: Mapping[str, tuple[int, bytes]] = {
        **(changed or {}),
        "split.no": (_UINT16, struct.pack("<H", 0)),
        "split.count": (_UINT16, struct.pack("<H", n_parts)),
        "split.tensors.count": (_INT32, struct.pack("<i", len(header.tensors))),
    }
    start = 4 + struct.calcsize("<IQQ")
    with header.path.open("rb") as file:
        file.seek(start)
        stored = file.read(header.metadata_end - start)
    kept = [span for key, span in header.key_spans.items() if key not in added]
    keys = b"".join(stored[begin - start : end - start] for begin, end in kept)
    n_keys = len(kept) + len(added)
    keys += b"".join(_key(name, *value) for name, value in added.items())
    with out.open("wb") as target:
        target.write(b"GGUF" + struct.pack("<IQQ", header.version, 0, n_keys) + keys)
        _pad(target)


def text_value(text: str) -> tuple[int, bytes]:
    """A string in the form of a value for `write_gguf`."""
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
