"""Writes a variant: the tensors that an adapter changes, merged in float32.

A variant is loaded beside the parts of its base (see ``gguf.split``). It holds the kinds of tensors
that it changes and shares all others. It costs nothing per token and is exact for every form of
adapter.

A change is never merged into a quantised grid: it is smaller than half a step of the grid and would
be rounded away. The changed tensors are stored in types that are fine enough (see
``storage_types``): at least Q8_0 for float weights beside a quantised base, at least float16
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import ConversionError
from ..gguf.header import GGUFHeader
from ..gguf.split import (
    METADATA_FILE,
    PartTensor,
    copied,
    kind_file,
    kind_of,
    split_metadata,
    write_part,
)
from ..peft.updates import Update
from ..quantization import TensorType, encode_rows, tensor_type
from .merging import merged, unties_head, updates_by_tensor
from .storage_types import STORED, row_blocks, stored_bytes
from .targets import Target
from .weights import WeightSource

__all__ = [
    "VariantReport",
    "convert_variant",
]


@dataclass(frozen=True)
class VariantReport:
    """The variant that was written: its ``files``, in no order, and their ``bytes`` in total.

    ``merged`` counts the changed tensors, ``n_tensors`` the tensors of the whole model.
    ``quantization`` names the types of the matrices, such as ``f16`` or ``f16 and f32``.
    ``source`` names the weights that were merged.
    """

    files: tuple[str, ...]
    merged: int
    bytes: int
    quantization: str
    source: str
    n_tensors: int


def convert_variant(
    updates: Sequence[tuple[Target, Update]],
    base: GGUFHeader,
    base_parts: Sequence[str],
    source: WeightSource,
    folder: Path,
    *,
    quantization: str | Mapping[str, str],
    vocabulary: Callable[[int | None], Mapping[str, tuple[int, bytes]]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VariantReport:
    """Write the variant's parts into ``folder``.

    ``base_parts`` are the names of the split base's parts in loading order. ``quantization`` is
    the type of the changed tensors: one for all, or one for each GGUF name. ``vocabulary`` gives
    the changed metadata for the adapter's number of tokens, or for the base's if that stays
    (None); if there is any, the variant has metadata of its own. ``progress`` is called with the
    bytes written so far and their total. Only one tensor at a time is in memory. Raises
    ConversionError if a merged value is not finite.
    """
    changed: dict[str, dict[str, list[tuple[Target, Update]]]] = {}
    for target, update in updates:
        of_kind = changed.setdefault(kind_of(target.gguf_name), {})
        of_kind.setdefault(target.gguf_name, []).append((target, update))
    if unties_head(updates_by_tensor(updates), base):
        changed.setdefault("output", {}).setdefault("output.weight", [])
    places = {name: number for number, name in enumerate(base_parts)}
    new = [kind_file(kind) for kind in changed if kind_file(kind) not in places]
    places |= {name: len(base_parts) + i for i, name in enumerate(new)}
    added = sum(name not in base.tensors for kind in changed.values() for name in kind)
    plans = {
        kind: _plan(kind, tensors, base, source, quantization) for kind, tensors in changed.items()
    }
    total = sum(tensor.n_bytes for plan in plans.values() for tensor in plan)
    done = 0
    for kind, plan in plans.items():
        write_part(folder / kind_file(kind), places[kind_file(kind)], plan)
        done += sum(tensor.n_bytes for tensor in plan)
        if progress is not None:
            progress(done, total)
    files = tuple(kind_file(kind) for kind in plans)
    size = next((target.shape[0] for target, _ in updates if target.resized), None)
    metadata = vocabulary(size) if vocabulary is not None else {}
    if metadata:
        split_metadata(base, folder / METADATA_FILE, len(base_parts), metadata)
        files = (METADATA_FILE, *files)
    elif size is not None:
        raise ConversionError(f"the adapter has {size} tokens, and nothing names them")
    return VariantReport(
        files=files,
        merged=sum(len(tensors) for tensors in changed.values()),
        bytes=sum((folder / name).stat().st_size for name in files),
        quantization=_described(quantization, changed),
        source=source.origin,
        n_tensors=len(base.tensors) + added,
    )


def _described(
    quantization: str | Mapping[str, str],
    changed: Mapping[str, Mapping[str, list[tuple[Target, Update]]]],
) -> str:
    if isinstance(quantization, str):
        return quantization
    matrices = [
        quantization[name]
        for tensors in changed.values()
        for name, steps in tensors.items()
        if steps and len(steps[0][0].shape) > 1
    ]
    return " and ".join(kind for kind in STORED if kind in matrices) or "f32"


def _plan(
    kind: str,
    changed: Mapping[str, list[tuple[Target, Update]]],
    base: GGUFHeader,
    source: WeightSource,
    quantization: str | Mapping[str, str],
) -> list[PartTensor]:
    """All tensors of a kind: the changed tensors merged, the others copied from the base."""
    names = [name for name in base.tensors if kind_of(name) == kind]
    names += [name for name in changed if name not in base.tensors]
    plan = []
    for name in names:
        if steps := changed.get(name):
            target = steps[0][0]
            wanted = quantization if isinstance(quantization, str) else quantization[name]
            stored = tensor_type(wanted, target.shape)
            n_bytes = stored_bytes(target.shape, stored)
            updates = [update for _, update in steps]
            plan.append(
                PartTensor(
                    name, target.shape, stored, n_bytes, _Merge(target, updates, source, stored)
                )
            )
        else:
            origin = name if name in base.tensors else "token_embd.weight"
            plan.append(copied(base, origin, name=name))
    return plan


@dataclass(frozen=True)
class _Merge:
    target: Target
    updates: Sequence[Update]
    source: WeightSource
    stored: TensorType

    def __call__(self, file: BinaryIO) -> None:
        values = self.target.stored(merged(self.target, self.updates, self.source))
        for rows in row_blocks(values):
            block = encode_rows(rows, self.stored)
            if block.dtype == np.float16 and not np.isfinite(block).all():
                raise ConversionError(
                    f"{self.target.hf_name}: merged values exceed the range of float16; use bf16"
                )
            file.write(block.data)
