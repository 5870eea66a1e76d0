"""How a tensor of GGUF differs from the one in Transformers: its order, its values, its shape.

llama.cpp stores some weights as its graphs compute with them. A `Change` says so in a table, and
the converters of bases and of adapters follow it.

numpy is imported where arrays are made, so that finding a base does not load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ...errors import ConversionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..safetensors import Float32Array

    IntArray = npt.NDArray[np.intp]

__all__ = ["UNCHANGED", "Change", "IntArray", "Order", "RotaryHeads", "rotary_order"]


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
class Change:
    """The steps from Transformers' tensor to GGUF's, in the order of the fields.

    ``rows`` and ``columns`` are other orders. With ``negative_exp`` a value x is stored as
    -exp(x). ``offset`` is added to every value. ``squeezed`` leaves out dimensions of size one, and
    ``as_column`` makes a vector a matrix of one column.
    """

    rows: Order | None = None
    columns: Order | None = None
    negative_exp: bool = False
    offset: float = 0.0
    squeezed: bool = False
    as_column: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the sizes that the change depends on."""
        orders = (self.rows, self.columns)
        return tuple(name for order in orders if order is not None for name in order.needs)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """GGUF's shape of a tensor that has ``shape`` in Transformers."""
        if self.squeezed:
            shape = tuple(n for n in shape if n != 1) or (1,)
        return (*shape, 1) if self.as_column else shape

    def values(self, values: Float32Array) -> Float32Array:
        """GGUF's values of a block of Transformers' ones, whose order does not change."""
        import numpy as np

        if self.negative_exp:
            with np.errstate(over="ignore"):
                values = -np.exp(values)
        return values + np.float32(self.offset) if self.offset else values


UNCHANGED = Change()


def rotary_order(n_rows: int, n_heads: int) -> IntArray:
    """The source row of each output row, (n_rows,): the two halves of a head are interleaved.

    Source: ``permute`` of llama.cpp's conversion/llama.py.
    """
    import numpy as np

    halves = np.arange(n_rows, dtype=np.intp).reshape(n_heads, 2, n_rows // n_heads // 2)
    order: IntArray = halves.swapaxes(1, 2).reshape(n_rows)
    return order
