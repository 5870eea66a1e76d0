"""Weights that GPTQ quantised to 2, 3, 4 or 8 bits.

``qweight`` packs the columns of the transposed weight into int32 words, ``qzeros`` the zero points
of each group, and ``g_idx`` gives the group of each input: ``scale[g] * (value - zero[g])``. The
first version of the format stores ``zero - 1``.

Source: ``TorchQuantLinear`` of GPTQModel, AutoGPTQ's successor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...safetensors import FLOATS, Array, Float32Array
from ..tensors import TensorReader
from .bits import unpack_words
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require, values_of

__all__ = ["find"]

BITS = (2, 3, 4, 8)

_ONES = {2: 0x55555555, 4: 0x11111111, 8: 0x01010101}
"""Words with the value 1 in every place."""


def find(tensors: Mapping[str, TensorReader], settings: QuantizationSettings) -> Iterator[Found]:
    """The weights that GPTQ packed. Raises ConversionError for a damaged one."""
    for name in tensors:
        if name.endswith(".qweight"):
            yield _weight(tensors, name.removesuffix(".qweight"), settings)


@dataclass(frozen=True)
class _Weight(Dequantised):
    """``order`` holds the group of each input; without it, ``group`` inputs follow each other.

    ``stores_one_less``: the packed zero points are one less than they mean.
    """

    packed: TensorReader
    scales: TensorReader
    zeros: TensorReader
    order: TensorReader | None
    module: str
    bits: int
    group: int
    stores_one_less: bool

    def rows(self, start: int, stop: int) -> Float32Array:
        packed, scales, zeros, groups = self.kept.get(self._load)
        values = unpack_words(packed[start:stop], self.bits, self.shape[1]).astype(np.int16)
        found: Float32Array
        if groups is None:
            # One group after another, (out, groups, inputs of a group).
            grouped = values.reshape(stop - start, zeros.shape[1], -1)
            grouped -= zeros[start:stop, :, None]
            found = grouped * scales[start:stop, :, None]
        else:
            values -= zeros[start:stop, groups]
            found = values * scales[start:stop, groups]
        return found.reshape(stop - start, -1)

    def _load(
        self,
    ) -> tuple[Array, Float32Array, npt.NDArray[np.uint8], npt.NDArray[np.int32] | None]:
        """The three matrices with outputs as rows (they are stored transposed), and the group of
        each input, where equally many inputs do not follow each other.
        """
        words = self.zeros.read_stored(f"{self.module}.qzeros")
        zeros = _zero_points(words, self.bits, self.shape[0], self.stores_one_less)
        return (
            np.ascontiguousarray(self.packed.read_stored(f"{self.module}.qweight").T),
            np.ascontiguousarray(values_of(self.scales, f"{self.module}.scales").T),
            np.ascontiguousarray(zeros.T),
            self._groups(len(zeros)),
        )

    def _groups(self, n_groups: int) -> npt.NDArray[np.int32] | None:
        n_in = self.shape[1]
        plain = (np.arange(n_in) // self.group).astype(np.int32)
        groups = plain
        if self.order is not None:
            groups = self.order.read_stored(f"{self.module}.g_idx").astype(np.int32)
            if not 0 <= groups.min() <= groups.max() < n_groups:
                raise ConversionError(
                    f"{self.order.path}: {self.module}.g_idx names group {groups.max()}; there are "
                    f"{n_groups}"
                )
        follows = n_in == self.group * n_groups and np.array_equal(groups, plain)
        return None if follows else groups


def _weight(
    tensors: Mapping[str, TensorReader], module: str, settings: QuantizationSettings
) -> Found:
    what, weight = f"the GPTQ module {module!r}", f"{module}.qweight"
    packed = require(tensors, weight, {"I32"}, what)
    zeros = require(tensors, f"{module}.qzeros", {"I32"}, what)
    scales = require(tensors, f"{module}.scales", FLOATS, what)
    used, order = [weight, f"{module}.qzeros", f"{module}.scales"], None
    shapes = [t.info(f"{module}.{n}").shape for t, n in ((packed, "qweight"), (scales, "scales"))]
    if any(len(shape) != 2 or 0 in shape for shape in shapes):
        raise ConversionError(f"{packed.path}: {module!r} is not packed in matrices")
    (n_words, n_out), (n_groups, _) = shapes
    if f"{module}.g_idx" in tensors:
        used.append(f"{module}.g_idx")
        order = require(tensors, f"{module}.g_idx", {"I32"}, what)
        sizes = order.info(f"{module}.g_idx").shape
        n_in = sizes[0] if len(sizes) == 1 else 0
    else:
        n_in = 32 * n_words // (settings.size("bits", "w_bit") or 4)
    bits = 32 * n_words // n_in if n_in else 0
    zero_words = zeros.info(f"{module}.qzeros").shape
    group = settings.size("group_size", "q_group_size") or 0
    if not group or -(-n_in // group) != n_groups:
        group = -(-n_in // n_groups)
    if (
        bits not in BITS
        or bits * n_in != 32 * n_words
        or shapes[1][1] != n_out
        or zero_words != (n_groups, -(-n_out * bits // 32))
        or -(-n_in // group) != n_groups
    ):
        raise ConversionError(
            f"{packed.path}: the parts of {module!r} do not fit together: {n_in} inputs, qweight "
            f"{list(shapes[0])}, qzeros {list(zero_words)}, scales {list(shapes[1])}"
        )
    packing = settings.options.get("checkpoint_format") or settings.options.get("format")
    dtype = scales.info(f"{module}.scales").dtype
    tensor = _Weight(
        path=packed.path,
        shape=(n_out, n_in),
        dtype=dtype if dtype in ("F16", "BF16") else "F32",
        method=f"GPTQ ({bits} bits)",
        packed=packed,
        scales=scales,
        zeros=zeros,
        order=order,
        module=module,
        bits=bits,
        group=group,
        stores_one_less=packing != "gptq_v2",
    )
    return Found(f"{module}.weight", tensor, used)


def _zero_points(
    words: Array, bits: int, n_out: int, stores_one_less: bool
) -> npt.NDArray[np.uint8]:
    """The zero points, (groups, out)."""
    if not stores_one_less:
        return unpack_words(words, bits, n_out)
    if bits in _ONES:
        # As GPTQModel, which adds to whole words: what one place borrowed another gives back.
        plus_one = words.view(np.uint32) + np.uint32(_ONES[bits])
        return unpack_words(plus_one, bits, n_out)
    found = unpack_words(words, bits, n_out)
    found += 1
    found &= np.uint8((1 << bits) - 1)
    return found
