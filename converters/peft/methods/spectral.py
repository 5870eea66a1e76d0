"""FourierFT and C3A: changes that are sparse, or products, in the frequency domain.

Source: ``tuners/fourierft/layer.py``, ``tuners/c3a/layer.py`` and ``tuners/c3a/utils.py`` of
PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...safetensors import Float32Array
from ..updates import Update
from .random_numbers import MAX_PERMUTED, Generator
from .reader import WEIGHT, Change, Reader

__all__ = ["c3a", "fourierft"]


def fourierft(reader: Reader) -> Iterator[Change]:
    """``W`` plus the inverse Fourier transform of a few trained coefficients."""
    options = reader.config.options
    spectrum = reader.need_vector("fourierft_spectrum")
    scale, seed = options.number("scaling", 150.0), options.seed("random_loc_seed", 777)
    yield Change(WEIGHT, _Fourier(spectrum, scale, seed), "FourierFT")


@dataclass(frozen=True)
class _Fourier(Update):
    """``spectrum`` holds coefficients at places that follow from ``seed``."""

    spectrum: Float32Array
    scale: float
    seed: int

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2 or len(self.spectrum) > shape[0] * shape[1]:
            return f"{len(self.spectrum)} frequencies of a weight {list(shape)}"
        if shape[0] * shape[1] > MAX_PERMUTED:
            return f"the places of frequencies in a weight as large as {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        places = Generator(self.seed).permutation_start(weight.size, len(self.spectrum))
        # The transform is taken along the rows that have a coefficient, then along the columns.
        rows, where = np.unique(places // weight.shape[1], return_inverse=True)
        dense = np.zeros((len(rows), weight.shape[1]))
        dense[where, places % weight.shape[1]] = self.spectrum
        whole = np.zeros(weight.shape, np.complex128)
        whole[rows] = np.fft.ifft(dense, axis=1)
        delta = np.fft.ifft(whole, axis=0).real * self.scale
        changed: Float32Array = (weight + delta).astype(np.float32)
        return changed


def c3a(reader: Reader) -> Iterator[Change]:
    """``W`` plus a matrix of circulant blocks, divided by the number of inputs."""
    kernel = reader.take("c3a_kernel", n_dims=3)
    yield Change(WEIGHT, _Circulant(kernel), "C3A")


@dataclass(frozen=True)
class _Circulant(Update):
    """``kernel`` (out blocks, in blocks, size): the first row of each block."""

    kernel: Float32Array

    @property
    def shape(self) -> tuple[int, ...]:
        n_out, n_in, size = self.kernel.shape
        return (n_out * size, n_in * size)

    def apply(self, weight: Float32Array) -> Float32Array:
        n_out, n_in, size = self.kernel.shape
        changed: Float32Array = weight.reshape(n_out, size, n_in, size).copy()
        part = self.kernel / np.float32(weight.shape[1])
        for row in range(size):
            changed[:, row] += np.roll(part, row, axis=2)
        whole: Float32Array = changed.reshape(weight.shape)
        return whole
