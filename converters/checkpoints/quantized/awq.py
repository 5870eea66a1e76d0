"""Weights that AWQ quantised to 4 bits, in the packing of its ``gemm`` kernel.

``qweight`` packs eight outputs into an int32 word in the order 0, 2, 4, 6, 1, 3, 5, 7, ``qzeros``
the zero points of each group of inputs: ``scale * (value - zero)``.

Source: ``dequantize_gemm`` in awq/utils/packing_utils.py of AutoAWQ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...safetensors import FLOATS, Array, Float32Array
from ..tensors import TensorReader
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require, values_of

__all__ = ["find"]

PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Which four bits of a word hold each of eight outputs."""


def find(tensors: Mapping[str, TensorReader], settings: QuantizationSettings) -> Iterator[Found]:
    """The weights that AWQ packed. Raises ConversionError for a damaged one."""
    bits = settings.size("bits", "w_bit") or 4
    for name in tensors:
        if name.endswith(".qweight"):
            if bits != 4:
                raise ConversionError(f"{settings.source}: AWQ of {bits} bits is not read, only 4")
            yield _weight(tensors, name.removesuffix(".qweight"))


@dataclass(frozen=True)
class _Weight(Dequantised):
    packed: TensorReader
    scales: TensorReader
    zeros: TensorReader
    module: str
    group: int

    def rows(self, start: int, stop: int) -> Float32Array:
        packed, scales, zeros = self.kept.get(self._load)
        first = start // 8
        values = _unpacked(packed[first : -(-stop // 8)])[start - 8 * first : stop - 8 * first]
        # One group after another, (out, groups, inputs of a group).
        grouped = values.reshape(stop - start, -1, self.group).astype(np.int16)
        grouped -= zeros[start:stop, :, None]
        found: Float32Array = grouped * scales[start:stop, :, None]
        return found.reshape(stop - start, -1)

    def _load(self) -> tuple[Array, Float32Array, npt.NDArray[np.uint8]]:
        """The three matrices with outputs as rows; they are stored transposed."""
        words = np.ascontiguousarray(self.zeros.read_stored(f"{self.module}.qzeros").T)
        return (
            np.ascontiguousarray(self.packed.read_stored(f"{self.module}.qweight").T),
            np.ascontiguousarray(values_of(self.scales, f"{self.module}.scales").T),
            _unpacked(words),
        )


def _unpacked(words: Array) -> npt.NDArray[np.uint8]:
    """The outputs (8 · words, inputs) of words (words, inputs)."""
    found = np.empty((len(words), 8, words.shape[1]), np.uint8)
    for output, place in enumerate(PLACES):
        found[:, output] = (words.view(np.uint32) >> np.uint32(4 * place)) & np.uint32(15)
    return found.reshape(-1, words.shape[1])


def _weight(tensors: Mapping[str, TensorReader], module: str) -> Found:
    what, weight = f"the AWQ module {module!r}", f"{module}.qweight"
    packed = require(tensors, weight, {"I32"}, what)
    zeros = require(tensors, f"{module}.qzeros", {"I32"}, what)
    scales = require(tensors, f"{module}.scales", FLOATS, what)
    words, points = packed.info(weight).shape, zeros.info(f"{module}.qzeros").shape
    sizes = scales.info(f"{module}.scales").shape
    fits = len(words) == len(points) == len(sizes) == 2 and 0 not in words + sizes
    if (
        not fits
        or sizes[1] != 8 * words[1]
        or points != (sizes[0], words[1])
        or words[0] % sizes[0]
    ):
        raise ConversionError(
            f"{packed.path}: the parts of {module!r} do not fit together: qweight {list(words)}, "
            f"qzeros {list(points)}, scales {list(sizes)}"
        )
    dtype = scales.info(f"{module}.scales").dtype
    tensor = _Weight(
        path=packed.path,
        shape=(sizes[1], words[0]),
        dtype=dtype if dtype in ("F16", "BF16") else "F32",
        method="AWQ (4 bits)",
        packed=packed,
        scales=scales,
        zeros=zeros,
        module=module,
        group=words[0] // sizes[0],
    )
    return Found(f"{module}.weight", tensor, [weight, f"{module}.qzeros", f"{module}.scales"])
