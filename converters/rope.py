"""Llama 3's scaling of rotary position embeddings, as a tensor of divisors.

Source: ``generate_extra_tensors`` of llama.cpp's conversion/llama.py.
"""

from __future__ import annotations

import math

import numpy as np

from .model_config import Rope
from .safetensors import Float32Array

__all__ = ["llama3_factors"]


def llama3_factors(rope: Rope, head_dim: int) -> Float32Array:
    """Divisors of the rotary frequencies for Llama 3's scaling, (head_dim / 2,).

    In float32 throughout, as llama.cpp's converter computes them.
    """
    one, exponents = (
        np.float32(1),
        np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim),
    )
    frequencies = one / np.power(np.float64(rope.theta), exponents).astype(np.float32)
    wavelengths = np.float32(2 * math.pi) / frequencies
    p = {name: np.float32(value) for name, value in rope.parameters.items()}
    factor, low, high = p["factor"], p["low_freq_factor"], p["high_freq_factor"]
    context = p["original_max_position_embeddings"]
    smooth = (context / wavelengths - low) / (high - low)
    blended = one / ((one - smooth) / factor + smooth)
    result = np.where(wavelengths > context / low, factor, blended)
    factors: Float32Array = np.where(wavelengths < context / high, one, result).astype(np.float32)
    return factors
