"""The random numbers of PyTorch's generator on a CPU, for projections that are not saved.

Source: ``aten/src/ATen/core/DistributionsHelper.h`` (``uniform_real_distribution``) and
``randperm_cpu`` in ``aten/src/ATen/native/TensorFactories.cpp`` of PyTorch 2.13. Both draw 32 bits
at a time from a Mersenne Twister, which numpy has, too.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...safetensors import Float32Array

__all__ = ["MAX_PERMUTED", "Generator"]

MAX_PERMUTED = (2**32 - 1) // 20
"""Beyond this length PyTorch draws permutations with 64 bits each."""

_BITS = 24
"""Random bits in a float32."""


class Generator:
    """``torch.Generator().manual_seed(seed)``."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.RandomState(seed % 2**32)._bit_generator

    def uniform(self, shape: tuple[int, ...], bound: float) -> Float32Array:
        """Numbers between ``-bound`` and ``bound``, as ``Tensor.uniform_`` draws them."""
        raw = self._bits.random_raw(math.prod(shape)) & ((1 << _BITS) - 1)
        unit = raw.astype(np.float64) * 2.0**-_BITS
        values: Float32Array = (unit * (2 * bound) - bound).astype(np.float32)
        return values.reshape(shape)

    def permutation_start(self, n: int, count: int) -> npt.NDArray[np.int64]:
        """The first ``count`` elements of ``torch.randperm(n)``, for n up to `MAX_PERMUTED`."""
        moved: dict[int, int] = {}
        found = np.empty(count, np.int64)
        for i, bits in enumerate(self._bits.random_raw(count).tolist()):
            other = i + bits % (n - i) if i < n - 1 else i
            found[i] = moved.get(other, other)
            moved[other] = moved.get(i, i)
        return found
