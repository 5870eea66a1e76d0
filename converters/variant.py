"""Writes a variant: the tensors that an adapter changes, merged in float32.

A variant is loaded beside the parts of its base (see ``gguf_split``): it brings
the kinds of tensors that it changes and shares all others. It costs nothing per
token and is exact for every form of adapter.

Never merged into a quantised grid: a fine-tuning delta is smaller than half a
step of the grid and would snap back. So from float weights a variant is stored
at Q8_0 or better, and from a quantised base at float16.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import ConversionError
from .gguf_header import GGUFHeader
from .gguf_split import PartTensor, copied, kind_file, kind_of, write_part
from .quantization import TensorType, encode_rows, row_bytes, tensor_type
from .safetensors import Float32Array
from .targets import Target
from .updates import Update
from .weights import WeightSource

__all__ = ["FORMAT_VERSION", "VariantReport", "convert_variant", "variant_type"]

FORMAT_VERSION = 1
"""Part of cache keys: raised when the same input would become another file."""

BLOCK_ELEMENTS = 4 << 20
"""Elements encoded at a time."""


@dataclass(frozen=True)
class VariantReport:
    """What was written: ``files`` in no order, ``merged`` tensors, ``bytes`` in all.

    ``source`` says which weights were merged, ``n_tensors`` how many the whole model has.
    """

    files: tuple[str, ...]
    merged: int
    bytes: int
    quantization: str
    source: str
    n_tensors: int


def variant_type(source: WeightSource, wanted: str | None, *, force: bool = False) -> str:
    """The quantisation to store: ``wanted``, or what the source allows.

    Raises ConversionError when less than float16 is wanted from quantised weights,
    unless forced.
    """
    if source.is_float:
        return wanted or "q8_0"
    if wanted not in (None, "f16", "f32") and not force:
        raise ConversionError(
            f"merging into {source.origin} and storing {wanted} would lose most of the adapter: "
            "its changes are smaller than the step of the grid\n"
            "Give the float weights, store f16, or force it."
        )
    return wanted or "f16"


def convert_variant(
    updates: Sequence[tuple[Target, Update]],
    base: GGUFHeader,
    base_parts: Sequence[str],
    source: WeightSource,
    folder: Path,
    *,
    quantization: str,
    progress: Callable[[int, int], None] | None = None,
) -> VariantReport:
    """Write the variant's parts into ``folder``.

    ``base_parts`` are the part names of the split base in loading order.
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
        quantization=quantization,
        source=source.origin,
        n_tensors=len(base.tensors) + added,
    )


def loading_order(base_parts: Sequence[Path], variant: Path) -> list[Path]:
    """The files of a variant's model: the base's, each replaced where the variant has its own."""
    order = [variant / part.name if (variant / part.name).exists() else part for part in base_parts]
    names = {part.name for part in base_parts}
    return order + sorted(
        (path for path in variant.glob("*.gguf") if path.name not in names), key=_part_number
    )


def _part_number(path: Path) -> int:
    from .gguf_header import read_gguf_header

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
    quantization: str,
) -> list[PartTensor]:
    """All tensors of a kind: the changed ones merged, the others as the base has them."""
    names = [name for name in base.tensors if kind_of(name) == kind]
    names += [name for name in changed if name not in base.tensors]
    plan = []
    for name in names:
        if steps := changed.get(name):
            target = steps[0][0]
            stored = tensor_type(quantization, target.shape)
            n_bytes = math.prod(target.shape[:-1]) * row_bytes(stored, target.shape[-1])
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
        step = max(1, BLOCK_ELEMENTS // max(1, math.prod(values.shape[1:])))
        for start in range(0, values.shape[0], step):
            block = encode_rows(np.ascontiguousarray(values[start : start + step]), self.stored)
            if block.dtype == np.float16 and not np.isfinite(block).all():
                raise ConversionError(
                    f"{self.target.hf_name}: merged values exceed the range of float16; use bf16"
                )
            file.write(block.data)


def merged(target: Target, updates: Sequence[Update], source: WeightSource) -> Float32Array:
    """The tensor with all its updates, float32, rows in Transformers' order."""
    values = source.read(target)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for update in updates:
                values = update.apply(values)
    except ConversionError as error:
        raise ConversionError(f"{target.hf_name}: {error}") from None
    if values.shape != target.shape:
        raise ConversionError(
            f"{target.hf_name} becomes {list(values.shape)}, the base has {list(target.shape)}"
        )
    if not np.isfinite(values).all():
        raise ConversionError(f"{target.hf_name}: the merged weights have NaN or infinite values")
    return values
