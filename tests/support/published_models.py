"""Models in several files, as llama.cpp's ``gguf-split`` writes them."""

from __future__ import annotations

from pathlib import Path

from .gguf_files import INT32, UINT16, Document, Value

__all__ = ["split_model"]


def split_model(
    model: Path, stem: Path, count: int = 3, *, empty_first: bool = False
) -> list[Path]:
    """Write ``model`` as ``count`` files ``stem-00001-of-…``. Every file says how many there are.

    ``empty_first``: the first has no tensors, as with ``--no-tensor-first-split``.
    """
    whole = Document.read(model)
    parts = []
    sharing = count - empty_first
    size = -(-len(whole.tensors) // sharing)
    for number in range(count):
        start = (number - empty_first) * size
        keys = dict(whole.keys) if number == 0 else {}
        keys[b"split.no"] = Value(UINT16, number)
        keys[b"split.count"] = Value(UINT16, count)
        keys[b"split.tensors.count"] = Value(INT32, len(whole.tensors))
        tensors = [] if start < 0 else whole.tensors[start : start + size]
        path = stem.with_name(f"{stem.name}-{number + 1:05}-of-{count:05}.gguf")
        parts.append(Document(keys, tensors).write(path))
    return parts
