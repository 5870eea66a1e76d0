r"""A warm prefix on disk: the KV cache of one sequence, with all that it depends on.

    HIVELLM-KV\n │ length of the header u64 │ header, JSON │ data

The header names the model, the expert, the numerics and the tokens; a file that
differs in any of them is refused, and so is one whose digest does not match. The data
goes to llama.cpp as it is: load only files that you wrote yourself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import LoadError, OutOfMemoryError
from ..storage.whole_files import whole_file

__all__ = ["read_kv_file", "write_kv_file"]

_MAGIC = b"HIVELLM-KV\n"
_FORMAT = 1

MAX_HEADER_BYTES = 64 << 20
"""A million tokens are about 7 MB."""


def write_kv_file(path: Path, identity: Mapping[str, Any], tokens: list[int], data: bytes) -> None:
    """Write the file whole or not at all. Raises OSError."""
    header = {
        "format": _FORMAT,
        **identity,
        "tokens": tokens,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(header).encode()
    with whole_file(path) as file:
        file.write(_MAGIC + len(text).to_bytes(8, "little") + text)
        file.write(data)


def read_kv_file(
    path: Path, identity: Mapping[str, Any], max_bytes: int | None = None
) -> tuple[list[int], bytes]:
    """The tokens and the data of a file that `write_kv_file` made for the same ``identity``.

    Raises LoadError that says what differs, or that the data has more than ``max_bytes``.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise LoadError(f"{path}: this is no saved state of an expert")
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_HEADER_BYTES:
                raise LoadError(f"{path}: the header has {length} bytes; the file is damaged")
            try:
                header = json.loads(file.read(length))
            except (ValueError, RecursionError):
                raise LoadError(f"{path}: the header is not JSON; the file is damaged") from None
            if not isinstance(header, dict):
                raise LoadError(f"{path}: the header is no JSON object; the file is damaged")
            wanted = {"format": _FORMAT, **identity}
            differing = [key for key, value in wanted.items() if header.get(key) != value]
            if differing:
                lines = [
                    f"  {key}: {header.get(key)!r} there, {wanted[key]!r} here" for key in differing
                ]
                raise LoadError(
                    f"{path}: the saved state belongs to something else\n" + "\n".join(lines)
                )
            tokens = header.get("tokens")
            if not isinstance(tokens, list) or not all(type(t) is int and t >= 0 for t in tokens):
                raise LoadError(f"{path}: the tokens are no list of numbers; the file is damaged")
            n_bytes = os.fstat(file.fileno()).st_size - file.tell()
            if n_bytes != header.get("bytes"):
                raise LoadError(
                    f"{path}: the data does not match its digest: it has {n_bytes} bytes, not "
                    f"{header.get('bytes')!r}; the file is damaged"
                )
            if max_bytes is not None and n_bytes > max_bytes:
                raise LoadError(
                    f"{path}: a saved state of {n_bytes / 1e6:.0f} MB cannot be held: "
                    f"{max_bytes / 1e6:.0f} MB may be parked\n"
                    "Load the expert with a larger parked_bytes."
                )
            data = file.read(n_bytes)
    except MemoryError:
        raise OutOfMemoryError(f"{path}: memory does not hold this saved state") from None
    except OSError as error:
        raise LoadError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != header.get("sha256"):
        raise LoadError(f"{path}: the data does not match its digest; the file is damaged")
    return tokens, data
