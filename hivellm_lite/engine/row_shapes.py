"""Which rows of a prompt are computed together, so that no bit of an answer depends on a cache.

On a CPU llama.cpp uses other kernels for a single row than for several, and some kernels take
rows in groups. The result of a row then depends on the number of rows beside it, and on its place
among them. If a cache left only the last row of a prompt to compute, the answer could differ from
the answer to the whole prompt.

So a prompt is cut only at multiples of ``grain`` positions, and no part has fewer than ``least``
rows unless it is the whole prompt. Then every cut gives the same logits, bit by bit.

The virtual tokens of a soft prompt are never computed beside tokens. They count as a prompt of
their own, and the tokens after them as another one.

Source: ``llamafile_sgemm`` (needs 2 rows on x86, up to 8 on others), ``ggml_tiled_min_batch``
(8 rows, K-quants) and ``forward_mul_mat`` of repack.cpp (groups of 4 rows) in ggml/src/ggml-cpu.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["RowShape", "row_shape"]


@dataclass(frozen=True)
class RowShape:
    """See the module's docstring."""

    grain: int
    least: int

    def n_reusable(
        self, n_shared: int, n_prompt: int, n_fresh: int = 1, *, n_virtual: int = 0
    ) -> int:
        """How many of ``n_shared`` leading tokens that are known a prompt may start from.

        At least ``n_fresh`` of its ``n_prompt`` tokens are left to compute. The first
        ``n_virtual`` of these are virtual.
        """
        if n_shared < n_virtual:
            n_prompt, n_fresh, n_virtual = n_virtual, 1, 0
        n = min(n_shared, n_prompt - max(n_fresh, self.least)) - n_virtual
        return n_virtual + max(0, n - n % self.grain)

    def n_next(
        self, position: int, n_left: int, room: int, n_fresh: int = 1, *, n_virtual: int = 0
    ) -> int:
        """How many of the ``n_left`` tokens from ``position`` on are computed next.

        At most ``room``; 0 if that is too little for a part that gives the same bits. The last
        ``n_fresh`` tokens stay together. The first ``n_virtual`` tokens of all are virtual.
        """
        if position < n_virtual:
            n_left, n_fresh = n_virtual - position, 1
        else:
            position -= n_virtual
        if n_left <= room:
            return n_left
        n = min(room, n_left - max(n_fresh, self.least))
        n -= (position + n) % self.grain
        return n if n >= self.least else 0


GROUPED = RowShape(grain=8, least=8)
"""For kernels that take rows in groups, and for processors that were not tried."""

PLAIN = RowShape(grain=1, least=2)
"""For types whose kernels on x86 only tell one row from several."""

_PLAIN_TYPES = frozenset({"F32", "F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_1"})


def row_shape(type_names: Iterable[str], machine: str) -> RowShape:
    """The shape for a model of these tensor types on a processor (``platform.machine()``)."""
    x86 = machine.lower() in ("x86_64", "amd64")
    return PLAIN if x86 and _PLAIN_TYPES.issuperset(type_names) else GROUPED
