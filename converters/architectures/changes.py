"""How a tensor of GGUF differs from the one in Transformers: its order, its values, its shape.

llama.cpp stores some weights as its graphs compute with them. A `Change` says so in a table, and
the converters of bases and of adapters follow it.

numpy is imported where arrays are made, so that finding a base does not load it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...errors import ConversionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..safetensors import Float32Array

    IntArray = npt.NDArray[np.intp]

__all__ = [
    "UNCHANGED",
    "Change",
    "IntArray",
    "Order",
    "RotaryHeads",
    "TiledHeads",
    "rotary_order",
    "row_factors",
]


class Order(Protocol):
    """An order of rows or columns."""

    def __call__(self, n: int, sizes: Mapping[str, int]) -> IntArray:
        """The source of each of the ``n`` rows, (n,). Raises ConversionError if they do not fit."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the sizes that the order depends on."""


@dataclass(frozen=True)
class RotaryHeads:
    """The two halves of every head are interleaved, for rotary embeddings in Llama graphs.

    ``heads`` names the size that counts the heads. Transformers rotates row i with row i + d/2,
    llama.cpp rotates neighbouring rows.
    """

    heads: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.heads,)

    def __call__(self, n: int, sizes: Mapping[str, int]) -> IntArray:
        n_heads = sizes[self.heads]
        if n % (2 * n_heads):
            raise ConversionError(f"{n} rows cannot be {n_heads} heads")
        return rotary_order(n, n_heads)


@dataclass(frozen=True)
class TiledHeads:
    """Value heads in the order of ggml's broadcasts: the first of every group, then the second.

    Transformers keeps the value heads of one key head together. ``keys`` and ``values`` name the
    sizes that count the heads. With ``after_keys`` the queries and keys, with heads of the same
    size, come first and keep their order.

    Source: ``_reorder_v_heads`` of llama.cpp's conversion/qwen.py.
    """

    keys: str
    values: str
    after_keys: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.keys, self.values)

    def __call__(self, n: int, sizes: Mapping[str, int]) -> IntArray:
        import numpy as np

        n_keys, n_values = sizes[self.keys], sizes[self.values]
        heads = 2 * n_keys + n_values if self.after_keys else n_values
        if n % heads or n_values % n_keys:
            raise ConversionError(f"{n} rows cannot be {n_values} heads for {n_keys} keys")
        start = 2 * n_keys * (n // heads) if self.after_keys else 0
        grouped = np.arange(start, n, dtype=np.intp).reshape(n_keys, n_values // n_keys, -1)
        return np.concatenate([np.arange(start, dtype=np.intp), grouped.swapaxes(0, 1).reshape(-1)])


@dataclass(frozen=True)
class Change:
    """The steps from Transformers' tensor to GGUF's, in the order of the fields.

    ``rows`` and ``columns`` are other orders. With ``negative_exp`` a value x is stored as
    -exp(x). ``offset`` is added to every value. ``squeezed`` leaves out dimensions of size one.
    ``groups`` names the number of rows that a vector is divided into, and ``as_column`` makes it
    a matrix of one column.
    """

    rows: Order | None = None
    columns: Order | None = None
    negative_exp: bool = False
    offset: float = 0.0
    squeezed: bool = False
    groups: str | None = None
    as_column: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the sizes that the change depends on."""
        orders = (self.rows, self.columns)
        return tuple(name for order in orders if order is not None for name in order.needs)

    @property
    def reshapes(self) -> bool:
        """Whether the shape changes."""
        return self.squeezed or self.groups is not None or self.as_column

    def shape(self, shape: tuple[int, ...], sizes: Mapping[str, int]) -> tuple[int, ...]:
        """GGUF's shape of a tensor that has ``shape`` in Transformers."""
        if self.squeezed:
            return tuple(n for n in shape if n != 1) or (1,)
        if self.groups is not None:
            n = sizes[self.groups]
            if len(shape) != 1 or shape[0] % n:
                raise ConversionError(f"{list(shape)} cannot be {n} groups")
            return (n, shape[0] // n)
        return (*shape, 1) if self.as_column else shape

    def values(self, values: Float32Array) -> Float32Array:
        """GGUF's values of a block of Transformers' ones, whose order does not change."""
        import numpy as np

        if self.negative_exp:
            with np.errstate(over="ignore"):
                values = -np.exp(values)
        return values + np.float32(self.offset) if self.offset else values


UNCHANGED = Change()


def row_factors(factors: Sequence[tuple[int, float]]) -> Float32Array:
    """What rows are multiplied by, (rows,), or (1,) for a number that all rows have."""
    import numpy as np

    counts, numbers = zip(*factors, strict=True)
    values = np.array(numbers, np.float32)
    return values if counts == (0,) else np.repeat(values, counts)


def rotary_order(n_rows: int, n_heads: int) -> IntArray:
    """The source row of each output row, (n_rows,): the two halves of a head are interleaved.

    Source: ``permute`` of llama.cpp's conversion/llama.py.
    """
    import numpy as np

    halves = np.arange(n_rows, dtype=np.intp).reshape(n_heads, 2, n_rows // n_heads // 2)
    order: IntArray = halves.swapaxes(1, 2).reshape(n_rows)
    return order
