"""Finds the tensors of a base that a module stands for, and the order of their rows.

`fitting` uses this to fit a whole adapter to a base.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...errors import ConversionError
from ..architectures import Architecture, TensorName
from ..architectures.architecture import MULTIPLIERS_KEY
from ..architectures.changes import row_factors
from ..gguf.arrays import read_numbers
from ..gguf.header import GGUFHeader
from ..safetensors import Float32Array

__all__ = ["ENDS", "Misfit", "Target", "find_parts", "find_target"]

IntArray = npt.NDArray[np.intp]

ENDS = ("embed_tokens", "lm_head")
"""The modules that have a row for each token of the vocabulary."""


@dataclass(frozen=True)
class Target:
    """One tensor of a base: its names on both sides, its shape (out, in), and their differences.

    ``rows`` and ``columns`` are the source of each row and column where llama.cpp wants them in
    another order. ``factors`` are what GGUF multiplies rows by. ``offset`` is the number that
    GGUF adds to the values (Gemma's norms). ``exists`` is False for a tensor that the base
    could have but does not: its own head, or a bias. ``part`` are the first row, the row after
    the last, and the number of rows of a module that GGUF divides. A ``resized`` embedding or
    head has other rows than the base, all of them the adapter's. A tensor that is ``reshaped``
    has another shape in Transformers.
    """

    hf_name: str
    gguf_name: str
    module: str
    shape: tuple[int, ...]
    exists: bool
    part: tuple[int, int, int] | None = None
    resized: bool = False
    rows: IntArray | None = field(default=None, compare=False)
    columns: IntArray | None = field(default=None, compare=False)
    factors: Float32Array | None = field(default=None, compare=False)
    offset: float = 0.0
    reshaped: bool = False

    def to_gguf(self, values: Float32Array) -> Float32Array:
        """``values`` with this tensor's rows (a weight, a bias, a lora_B) as GGUF has them."""
        ordered = values if self.rows is None else values[self.rows]
        if self.factors is None:
            return ordered
        multiplied: Float32Array = ordered * self.factors.reshape(-1, *(1,) * (values.ndim - 1))
        return multiplied

    def columns_to_gguf(self, values: Float32Array) -> Float32Array:
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

    def from_gguf(self, values: Float32Array) -> Float32Array:
        """A whole tensor of GGUF with Transformers' order of rows and columns, and its factors."""
        if self.factors is not None:
            values = values / self.factors.reshape(-1, *(1,) * (values.ndim - 1))
        if self.rows is not None:
            values = values[np.argsort(self.rows)]
        return values if self.columns is None else values[:, np.argsort(self.columns)]


@dataclass(frozen=True)
class Misfit:
    """Why something of an adapter does not fit. ``sizes``: because the base has other sizes."""

    text: str
    sizes: bool = False


def find_target(
    module: str, suffix: str, architecture: Architecture, base: GGUFHeader
) -> Target | Misfit:
    """The first target of ``module`` + ``suffix``, or why there is none."""
    found = find_parts(module, suffix, architecture, base)
    return found if isinstance(found, Misfit) else found[0]


def find_parts(
    module: str, suffix: str, architecture: Architecture, base: GGUFHeader
) -> list[Target] | Misfit:
    """The targets of ``module`` + ``suffix``, ``.weight`` or ``.bias``, or why there are none."""
    places = architecture.tensor_names(module)
    if not places:
        return Misfit(f"{module} is not a module of the architecture {architecture.name}")
    found = []
    for place in places:
        target = _find(module, suffix, place, architecture, base)
        if isinstance(target, Misfit):
            return target
        found.append(target)
    return found


def _find(
    module: str, suffix: str, place: TensorName, architecture: Architecture, base: GGUFHeader
) -> Target | Misfit:
    if place.layer is not None and place.layer >= base.n_layers:
        text = f"{module}: the base has {base.n_layers} layers, 0 to {base.n_layers - 1}"
        return Misfit(text, sizes=True)
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
        return Misfit(f"{module}: the base has no tensor {place.gguf}{suffix}")
    change = architecture.change(place.module)
    try:
        sizes = {name: _size(base, architecture.size_keys[name]) for name in change.needs}
        rows = change.rows(shape[0], sizes) if change.rows else None
        columns = change.columns(shape[1], sizes) if change.columns and len(shape) > 1 else None
        factors = _factors(place.module, architecture, base) if suffix == ".weight" else None
    except ConversionError as error:
        return Misfit(f"{module}: {error}")
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
        factors=factors,
        offset=change.offset if suffix == ".weight" else 0.0,
        reshaped=change.reshapes,
    )


def _factors(module: str, architecture: Architecture, base: GGUFHeader) -> Float32Array | None:
    """What GGUF multiplies the rows of ``module`` by.

    Raises ConversionError if the file does not say so: llama.cpp's own converter does not.
    """
    if not architecture.n_multipliers:
        return None
    key = f"{base.architecture}.{MULTIPLIERS_KEY}"
    numbers = np.asarray(read_numbers(base, key) if key in base.arrays else [], np.float64)
    if len(numbers) != architecture.n_multipliers or not (
        np.isfinite(numbers).all() and (numbers > 0).all()
    ):
        raise ConversionError(
            "this GGUF file does not say what its weights were multiplied by; convert the base "
            "from its Hugging Face folder"
        )
    sizes = {name: _size(base, at) for name, at in architecture.size_keys.items()}
    found = architecture.factors(tuple(float(n) for n in numbers), sizes).get(module)
    return None if found is None else row_factors(found)


def _size(base: GGUFHeader, name: str) -> int:
    """A hyper-parameter. Where layers differ, it is the same in all layers that have it."""
    key = f"{base.architecture}.{name}"
    if key not in base.arrays:
        return base.hyper_parameter(name)
    values = {int(value) for value in read_numbers(base, key) if value > 0}
    if len(values) != 1:
        raise ConversionError(f"{key} differs between the layers")
    return values.pop()
