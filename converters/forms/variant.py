"""Writes a variant: the tensors that an adapter changes, merged in float32.

A variant is loaded beside the parts of its base (see ``gguf.split``): it brings
the kinds of tensors that it changes and shares all others. It costs nothing per
token and is exact for every form of adapter.

Never merged into a quantised grid: a fine-tuning delta is smaller than half a
step of the grid and would snap back. Each tensor gets the smallest type whose
rounding is small beside the adapter's change of that tensor: Q8_0 at the least from
float weights beside a quantised base, float16 otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import ConversionError
from ..gguf.header import GGUFHeader, read_gguf_header
from ..gguf.split import PartTensor, copied, kind_file, kind_of, write_part
from ..peft.updates import Update
from ..quantization import TensorType, encode_rows, tensor_type
from .merging import merged
from .storage_types import STORED, row_blocks, stored_bytes
from .targets import Target
from .weights import WeightSource

__all__ = [
    "FORMAT_VERSION",
    "VariantReport",
    "convert_variant",
    "loading_order",
]

FORMAT_VERSION = 2
"""Part of cache keys: raised when the same input would become another file."""


@dataclass(frozen=True)
class VariantReport:
    """What was written: ``files`` in no order, ``merged`` tensors, ``bytes`` in all.

    ``quantization`` is what the matrices are stored at, such as ``f16`` or ``f16 and f32``,
    ``source`` says which weights were merged, ``n_tensors`` how many the whole model has.
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
    progress: Callable[[int, int], None] | None = None,
) -> VariantReport:
    """Write the variant's parts into ``folder``.

    ``base_parts`` are the part names of the split base in loading order, ``quantization``
    what the changed tensors are stored at: one for all, or by the tensors' GGUF names.
    ``progress`` is called with the bytes written so far and in all. One tensor at
    a time is in memory. Raises ConversionError when a merged value is not finite.
    """
    changed: dict[str, dict[str, list[tuple[Target, Update]]]] = {}
    for target, update in updates:
        of_kind = changed.setdefault(kind_of(target.gguf_name), {})
        of_kind.setdefault(target.gguf_name, []).append((target, update))
    _untie(changed, base)
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


def loading_order(base_parts: Sequence[Path], variant: Path) -> list[Path]:
    """The files of a variant's model: the base's, each replaced where the variant has its own."""
    order = [variant / part.name if (variant / part.name).exists() else part for part in base_parts]
    names = {part.name for part in base_parts}
    return order + sorted(
        (path for path in variant.glob("*.gguf") if path.name not in names), key=_part_number
    )


def _part_number(path: Path) -> int:
    return int(read_gguf_header(path, part=True).metadata["split.no"])


def _untie(changed: dict[str, dict[str, list[tuple[Target, Update]]]], base: GGUFHeader) -> None:
    """Where the embedding changes and is also the head, the head stays what it was: PEFT
    changes only the module that it was told to.
    """
    if "token_embd" in changed and "output.weight" not in base.tensors:
        changed.setdefault("output", {}).setdefault("output.weight", [])


def _plan(
    kind: str,
    changed: Mapping[str, list[tuple[Target, Update]]],
    base: GGUFHeader,
    source: WeightSource,
    quantization: str | Mapping[str, str],
) -> list[PartTensor]:
    """All tensors of a kind: the changed ones merged, the others as the base has them."""
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
