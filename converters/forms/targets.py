"""Finds the tensor of a base that an adapter's tensor changes, and the order of its rows.

One rule holds for every form of adapter: the architecture must have the module, the base must have
the layer, and the shapes must match.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError
from ..architectures import Architecture, TensorName, architecture_of_gguf
from ..gguf.arrays import read_numbers
from ..gguf.header import GGUFHeader
from ..peft.adapter import Adapter, AdapterTensor
from ..peft.updates import LowRank, Scaled, Update
from ..safetensors import Float32Array

__all__ = ["Target", "find_parts", "find_target", "find_targets"]

_Number = TypeVar("_Number", bound=np.generic)
IntArray = npt.NDArray[np.intp]

PROBLEMS_SHOWN = 8
"""Problems that an error lists. An adapter of another base has hundreds."""


@dataclass(frozen=True)
class Target:
    """One tensor of a base: its names on both sides, its shape (out, in), and their differences.

    ``rows`` and ``columns`` are the source of each row and column where llama.cpp wants them in
    another order. ``offset`` is the number that GGUF adds to the values (Gemma's norms).
    ``exists`` is False for a tensor that the base could have but does not: its own head, or a
    bias. ``part`` are the first row, the row after the last, and the number of rows of a module
    that GGUF divides. A tensor that is ``reshaped`` has another shape in Transformers.
    """

    hf_name: str
    gguf_name: str
    module: str
    shape: tuple[int, ...]
    exists: bool
    part: tuple[int, int, int] | None = None
    rows: IntArray | None = field(default=None, compare=False)
    columns: IntArray | None = field(default=None, compare=False)
    offset: float = 0.0
    reshaped: bool = False

    def to_gguf(self, values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """``values`` with this tensor's rows (a weight, a bias, a lora_B), in GGUF's order."""
        return values if self.rows is None else values[self.rows]

    def columns_to_gguf(self, values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """``values`` with this tensor's columns (a weight, a lora_A), in GGUF's order."""
        return values if self.columns is None else values[:, self.columns]

    def stored(self, values: Float32Array) -> Float32Array:
        """The whole tensor as GGUF stores it: in GGUF's order and with the offset added."""
        ordered = self.columns_to_gguf(self.to_gguf(values))
        return ordered + np.float32(self.offset) if self.offset else ordered

    def loaded(self, values: Float32Array) -> Float32Array:
        """The inverse of `stored`."""
        plain = values - np.float32(self.offset) if self.offset else values
        return self.from_gguf(plain)

    def from_gguf(self, values: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """A whole tensor of GGUF's order in Transformers' order of rows and columns."""
        if self.rows is not None:
            values = values[np.argsort(self.rows)]
        return values if self.columns is None else values[:, np.argsort(self.columns)]


def find_targets(
    adapter: Adapter, base: GGUFHeader, *, for_lora: bool = False
) -> list[tuple[Target, Update]]:
    """Every update of ``adapter`` with the tensor of ``base`` that it changes.

    With ``for_lora``, updates that llama.cpp supports only in a variant are refused, too. Raises
    ConversionError, which lists the problems, if the adapter does not fit.
    """
    architecture = architecture_of_gguf(base.architecture)
    found: list[tuple[Target, Update]] = []
    problems: list[str] = []
    for whole in adapter.tensors:
        targets = find_parts(whole.module, whole.suffix, architecture, base)
        if isinstance(targets, str):
            problems += [] if whole.optional else [targets]
            continue
        for target in targets:
            if whole.optional and not target.exists:
                continue
            tensor = _part(whole, target)
            problem = _misfit(tensor, target)
            if not problem and for_lora:
                problem = _not_for_lora(tensor, target, architecture, base)
            if problem:
                problems.append(problem)
            else:
                found.append((target, tensor.update))
    for module, shape in adapter.base_copies:
        copied = find_target(module, ".weight", architecture, base)
        if isinstance(copied, Target) and copied.shape != shape and copied.part is None:
            problems.append(
                f"{module}: the adapter's copy of it has {list(shape)}, the base "
                f"{list(copied.shape)}{_vocabulary_hint(copied)}"
            )
    if problems:
        more = ["…"] if len(problems) > PROBLEMS_SHOWN else []
        shown = problems[:PROBLEMS_SHOWN] + more
        raise ConversionError(
            f"{adapter.path} does not fit {base.path.name}: {shown[0]}\n"
            + "".join(f"{line}\n" for line in shown[1:])
            + "It was trained for another base, or in a form that cannot be applied to this one."
        )
    return found


def _part(tensor: AdapterTensor, target: Target) -> AdapterTensor:
    """The rows of ``tensor`` that change ``target``, which may be a part of the module."""
    if target.part is None:
        return tensor
    start, stop, n_rows = target.part
    update = tensor.update
    if isinstance(update, Scaled):
        fits = update.axis == 1 or len(update.factors) == n_rows
    else:
        fits = update.shape is not None and update.shape[0] == n_rows
    return replace(tensor, update=update.part(start, stop, n_rows)) if fits else tensor


def _misfit(tensor: AdapterTensor, target: Target) -> str:
    """The reason why the update cannot apply to its target; empty if it can."""
    update, name = tensor.update, tensor.module
    if isinstance(update, LowRank):
        if update.is_embedding != (target.module == "embed_tokens"):
            return f"{name}: an embedding's LoRA on another module, or the other way round"
        if update.rank > min(target.shape):
            return (
                f"{name}: rank {update.rank} is larger than the matrix, {list(target.shape)}: "
                "the adapter is damaged"
            )
    if isinstance(update, Scaled):
        n = target.shape[update.axis] if update.axis < len(target.shape) else 0
        if n != len(update.factors):
            return f"{name}: {len(update.factors)} factors for {n} of {target.gguf_name}"
    elif update.shape != target.shape:
        return (
            f"{name} adapts a weight of shape {list(update.shape or ())}, "
            f"{target.gguf_name} has {list(target.shape)}{_vocabulary_hint(target)}"
        )
    return ""


def _vocabulary_hint(target: Target) -> str:
    if target.module not in ("embed_tokens", "lm_head"):
        return ""
    return " (an adapter that changes the size of the vocabulary is not supported)"


def _not_for_lora(
    tensor: AdapterTensor, target: Target, architecture: Architecture, base: GGUFHeader
) -> str:
    tied = f"{architecture.global_modules['lm_head']}.weight" not in base.tensors
    if target.module == "lm_head" and tied:
        return (
            f"{tensor.module}: the base's head is tied to its embedding, which llama.cpp "
            "cannot adapt separately with a LoRA"
        )
    if target.module == "embed_tokens" and tied:
        # llama.cpp finds adapters by tensor name. It would also apply this one to the head,
        # transposed, and fail an assertion that ends the process.
        return (
            f"{tensor.module}: the base's embedding is also its head, which llama.cpp "
            "cannot adapt separately with a LoRA"
        )
    if len(target.shape) < 2:
        return f"{tensor.module}: {target.gguf_name} is a vector, which a LoRA cannot change"
    return ""


def find_target(
    module: str, suffix: str, architecture: Architecture, base: GGUFHeader
) -> Target | str:
    """The first target of ``module`` + ``suffix``, or why there is none."""
    found = find_parts(module, suffix, architecture, base)
    return found if isinstance(found, str) else found[0]


def find_parts(
    module: str, suffix: str, architecture: Architecture, base: GGUFHeader
) -> list[Target] | str:
    """The targets of ``module`` + ``suffix``, ``.weight`` or ``.bias``, or why there are none."""
    places = architecture.tensor_names(module)
    if not places:
        return f"{module} is not a module of the architecture {architecture.name}"
    found = []
    for place in places:
        target = _find(module, suffix, place, architecture, base)
        if isinstance(target, str):
            return target
        found.append(target)
    return found


def _find(
    module: str, suffix: str, place: TensorName, architecture: Architecture, base: GGUFHeader
) -> Target | str:
    if place.layer is not None and place.layer >= base.n_layers:
        return f"{module}: the base has {base.n_layers} layers, 0 to {base.n_layers - 1}"
    tensor = base.tensors.get(place.gguf + suffix)
    weight = base.tensors.get(f"{place.gguf}.weight")
    embedding = base.tensors.get(f"{architecture.global_modules['embed_tokens']}.weight")
    if tensor is not None:
        shape = tensor.shape
    elif suffix == ".bias" and place.module in architecture.biases and weight is not None:
        shape = weight.shape[:1]
    elif place.module == "lm_head" and embedding is not None and architecture.own_head:
        shape = embedding.shape
    else:
        return f"{module}: the base has no tensor {place.gguf}{suffix}"
    change = architecture.change(place.module)
    try:
        sizes = {name: _size(base, architecture.size_keys[name]) for name in change.needs}
        rows = change.rows(shape[0], sizes) if change.rows else None
        columns = change.columns(shape[1], sizes) if change.columns and len(shape) > 1 else None
    except ConversionError as error:
        return f"{module}: {error}"
    n_rows = shape[0] * place.parts
    return Target(
        hf_name=module + suffix,
        gguf_name=place.gguf + suffix,
        module=place.module,
        shape=shape,
        exists=tensor is not None,
        part=(*place.rows(n_rows), n_rows) if place.parts > 1 else None,
        rows=rows,
        columns=columns,
        offset=change.offset if suffix == ".weight" else 0.0,
        reshaped=change.reshapes,
    )


def _size(base: GGUFHeader, name: str) -> int:
    """A hyper-parameter. Where layers differ, it is the same in all layers that have it."""
    key = f"{base.architecture}.{name}"
    if key not in base.arrays:
        return base.hyper_parameter(name)
    values = {int(value) for value in read_numbers(base, key) if value > 0}
    if len(values) != 1:
        raise ConversionError(f"{key} differs between the layers")
    return values.pop()
