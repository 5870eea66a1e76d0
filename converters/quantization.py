"""Encodes rows of weights in the types of GGUF, and decodes them.

The float types and Q8_0 are computed here, bit for bit as ggml computes them. ggml itself encodes
every other type, and is loaded only for those.
"""

from __future__ import annotations

import numpy as np

from ..errors import ConversionError
from .file_types import FILE_TYPES, MIXES, QUANTIZATIONS
from .safetensors import Array, Float32Array, to_bfloat16

__all__ = [
    "QUANTIZATIONS",
    "TensorType",
    "bits_per_weight",
    "checked",
    "decode_rows",
    "encode_rows",
    "file_type",
    "is_mix",
    "row_bytes",
    "tensor_type",
]

TensorType = str
"""A ggml type by its name, such as ``Q8_0``."""

_NEEDS_MATRIX = frozenset(
    {"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "q2_k_s"}
)

_BY_LIBRARY = frozenset({"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ3_S", "IQ4_NL", "IQ4_XS"}) | {
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
}
"""Types that ggml encodes without an importance matrix. For other types it ends the process."""

Q8_0_BLOCK = 32
"""Elements in a block, which share one scale."""

Q8_0_BLOCK_BYTES = 34
"""Bytes of a block: a float16 scale and 32 signed bytes."""

Q8_0_CHUNK = 2048
"""Blocks encoded at a time: 0.25 MB of float32, so intermediate results stay in the cache."""


def checked(quant: str) -> str:
    """The name of a quantisation in lower case.

    Raises ConversionError, which lists the known names, for any other.
    """
    name = quant.lower()
    if name in _NEEDS_MATRIX:
        raise _needs_matrix(quant)
    if name not in QUANTIZATIONS:
        raise ConversionError(f"cannot write {quant!r}; known are {', '.join(QUANTIZATIONS)}")
    return name


def _needs_matrix(name: str) -> ConversionError:
    return ConversionError(
        f"cannot write {name!r}: it needs an importance matrix, which llama.cpp's "
        "llama-imatrix computes from sample texts\nUse iq3_s or q2_k, or a ready GGUF file."
    )


def is_mix(quant: str) -> bool:
    """Whether llama.cpp chooses a type for each tensor."""
    return quant in MIXES


def bits_per_weight(quant: str) -> float:
    """Roughly the bits per weight of a mix."""
    return MIXES[quant][1]


def file_type(quant: str) -> int:
    """The number in ``llama_ftype``, which GGUF stores as ``general.file_type``."""
    from gguf import LlamaFileType

    name = MIXES[quant][0] if is_mix(quant) else FILE_TYPES[quant]
    return int(LlamaFileType[name])


def tensor_type(quant: str, shape: tuple[int, ...]) -> TensorType:
    """The type of a tensor of ``shape`` in a file that is stored as ``quant``, such as ``q8_0``.

    Vectors stay F32. Rows whose length is not a multiple of 32 cannot be Q8_0 and become
    F16, as in llama.cpp's converter.
    """
    if len(shape) < 2 or quant == "f32":
        return "F32"
    if quant == "bf16":
        return "BF16"
    return "Q8_0" if quant == "q8_0" and shape[-1] % Q8_0_BLOCK == 0 else "F16"


def row_bytes(kind: TensorType, n_elements: int) -> int:
    """Bytes of a row of ``n_elements``. Raises ConversionError if they do not fill whole blocks."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    if n_elements % block:
        raise ConversionError(
            f"rows of {n_elements} weights cannot be {kind}, which has blocks of {block}"
        )
    return int(n_elements // block * n_bytes)


def encode_rows(values: Float32Array, kind: TensorType) -> Array:
    """``values``, finite and of shape (…, elements), encoded as ``kind``.

    Values beyond float16's range become infinite in F16. Raises ConversionError for a type that
    needs an importance matrix, and for rows that do not fill whole blocks. Safe to call from
    several threads at once.
    """
    if kind == "F32":
        return values
    if kind == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    if kind == "BF16":
        return to_bfloat16(values)
    if kind == "Q8_0":
        return _encode_q8_0(values)
    return _encode_by_library(values, kind)


def decode_rows(encoded: Array, kind: TensorType) -> Float32Array:
    """The values, in float32, that a computation reads from rows that `encode_rows` returned."""
    if kind == "F32":
        return encoded.astype(np.float32, copy=False)
    if kind == "F16":
        return encoded.astype(np.float32)
    if kind == "BF16":
        bits = encoded.astype(np.uint32) << 16
        return bits.view(np.float32)
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    values: Float32Array = dequantize(encoded, GGMLQuantizationType[kind])
    return values


def _encode_by_library(values: Float32Array, kind: TensorType) -> Array:
    if kind.lower() in _NEEDS_MATRIX:
        raise _needs_matrix(kind)
    if kind not in _BY_LIBRARY:
        raise ConversionError(f"cannot encode weights as {kind}")
    n_bytes = row_bytes(kind, values.shape[-1])
    from gguf import GGMLQuantizationType

    from ..engine.quantizer import quantize_rows

    rows = values.reshape(-1, values.shape[-1])
    encoded = quantize_rows(rows, int(GGMLQuantizationType[kind]), n_bytes)
    return encoded.reshape(*values.shape[:-1], n_bytes)


def _encode_q8_0(values: Float32Array) -> Array:
    """Encode blocks of 32: the scale ``d = max|x| / 127`` as float16, then ``round(x / d)``."""
    blocks = values.reshape(-1, Q8_0_BLOCK)
    out = np.empty((len(blocks), Q8_0_BLOCK_BYTES), np.uint8)
    for start in range(0, len(blocks), Q8_0_CHUNK):
        chunk = blocks[start : start + Q8_0_CHUNK]
        target = out[start : start + Q8_0_CHUNK]
        # numpy is slow at reducing along a short last axis, so this takes the maxima transposed.
        largest = np.ascontiguousarray(np.abs(chunk).T).max(axis=0)
        scale = largest[:, None] / np.float32(127)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(1) / scale
        inverse[~np.isfinite(inverse)] = 0
        # Round half away from zero: truncate twice the value (exact in float32), then
        # halve the integers. For negative numbers the shift already rounds the right way.
        doubled = chunk * inverse
        doubled *= 2
        steps = doubled.astype(np.int16)
        steps += (steps >= 0).view(np.int8)
        steps >>= 1
        with np.errstate(over="ignore"):
            target[:, :2] = scale.astype(np.float16).view(np.uint8)
        target[:, 2:] = steps.astype(np.int8).view(np.uint8)
    return out.reshape(*values.shape[:-1], -1)
