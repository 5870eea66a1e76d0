"""Writes a whole model in float32, adapted or not, as a reference for other forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..architectures import architecture_of_gguf
from ..gguf.header import GGUFHeader
from ..gguf.split import METADATA_FILE, PartTensor, kind_file, kind_of, split_metadata, write_part
from ..peft.updates import Update
from .merging import merged, unties_head, updates_by_tensor
from .targets import Misfit, Target, find_parts, find_target
from .weights import GGUFWeights, WeightSource

__all__ = ["write_float_model"]


def write_float_model(
    base: GGUFWeights,
    source: WeightSource,
    updates: Sequence[tuple[Target, Update]],
    folder: Path,
    *,
    vocabulary: Callable[[int | None], Mapping[str, tuple[int, bytes]]] | None = None,
) -> tuple[list[Path], int]:
    """Write ``base`` with the updated weights of ``source`` as F32 parts into ``folder``.

    Tensors that only the GGUF file has, the factors of rotary positions, are copied from it. Only
    one tensor at a time is in memory. ``vocabulary`` is as for ``convert_variant``.
    Returns the parts in loading order, and the number of
    tensors.
    """
    header = base.header
    steps = updates_by_tensor(updates)
    if unties_head(steps, header):
        untied = find_target(
            "lm_head", ".weight", architecture_of_gguf(header.architecture), header
        )
        if isinstance(untied, Target):
            steps.setdefault("output.weight", (untied, []))
    names = [*header.tensors, *(name for name in steps if name not in header.tensors)]
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind_of(name), []).append(name)
    places = _targets(header, source)
    size = next((target.shape[0] for target, _ in updates if target.resized), None)
    changed = vocabulary(size) if vocabulary is not None else None
    split_metadata(header, folder / METADATA_FILE, 1 + len(kinds), changed)
    parts = [folder / METADATA_FILE]
    for number, (kind, members) in enumerate(kinds.items(), start=1):
        tensors = [_part_tensor(name, base, source, steps, places) for name in members]
        write_part(folder / kind_file(kind), number, tensors)
        parts.append(folder / kind_file(kind))
    return parts, len(names)


def _targets(header: GGUFHeader, source: WeightSource) -> dict[str, Target]:
    """The tensors of the base that Transformers' model has, too, by GGUF name.

    Of two modules that are the same tensors it is the one that ``source`` has.
    """
    architecture = architecture_of_gguf(header.architecture)
    found: dict[str, Target] = {}
    for module in architecture.modules([None] * header.n_layers):
        for suffix in (".weight", ".bias"):
            targets = find_parts(module, suffix, architecture, header)
            if not isinstance(targets, Misfit):
                found |= {
                    target.gguf_name: target
                    for target in targets
                    if target.exists and source.holds(target)
                }
    return found


def _part_tensor(
    name: str,
    base: GGUFWeights,
    source: WeightSource,
    steps: dict[str, tuple[Target, list[Update]]],
    places: dict[str, Target],
) -> PartTensor:
    target, updates = steps.get(name, (places.get(name), []))
    shape = base.header.tensors[name].shape if target is None else target.shape
    writer = _Writer(name, target, updates, base, source)
    return PartTensor(name, shape, "F32", 4 * math.prod(shape), writer)


@dataclass(frozen=True)
class _Writer:
    name: str
    target: Target | None
    updates: list[Update]
    base: GGUFWeights
    source: WeightSource

    def __call__(self, file: BinaryIO) -> None:
        if self.target is None:
            values = self.base.read_tensor(self.base.header.tensors[self.name])
        else:
            values = self.target.stored(merged(self.target, self.updates, self.source))
        file.write(np.ascontiguousarray(values, dtype=np.float32).data)
