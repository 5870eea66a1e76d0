"""Soft prompts: rows of embeddings that stand before the tokens of a prompt.

They come as PEFT adapters, as a safetensors file with one matrix, or as a file of ``torch.save``.
They are kept as safetensors with the one tensor ``prompt_embeddings`` in float32, as llama.cpp
takes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConversionError
from .architectures import architecture_of_gguf
from .gguf.header import GGUFHeader
from .peft.prompts import check_rows, read_prompt
from .safetensors import Float32Array, SafetensorsFile

__all__ = [
    "FORMAT_VERSION",
    "SoftPromptRows",
    "convert_soft_prompt",
    "load_soft_prompt",
    "read_soft_prompt",
    "soft_prompt_layout",
    "write_soft_prompt",
]

FORMAT_VERSION = 1
"""Part of cache keys. Raised when the same input would be written differently."""

TENSOR = "prompt_embeddings"
_PER_LAYER = "per_layer_token_embd.weight"
"""Of Gemma 4 E2B and E4B: a second embedding of every token, for all layers."""

_TORCH_FILES = (".pt", ".pth", ".bin")


@dataclass(frozen=True)
class SoftPromptRows:
    """A soft prompt as llama.cpp takes it: ``embeddings`` (tokens, n_embd), finite.

    ``digest`` is the SHA-256 of the tensor's bytes and shape.
    """

    embeddings: Float32Array
    digest: str


def read_soft_prompt(weights: Path, config: Path | None = None) -> Float32Array:
    """The rows (tokens, n_embd) that a file holds, as they were trained.

    With ``config``, the file is an adapter of PEFT. Otherwise it is safetensors or, by its suffix,
    a file of ``torch.save``, and holds one matrix of floats. Raises ConversionError for anything
    else, for NaN and infinite values, and for more than ``MAX_TOKENS`` rows.
    """
    if config is not None:
        rows = read_prompt(weights, config)
    elif weights.name.lower().endswith(_TORCH_FILES):
        from .torch_zip.archive import read_torch_matrix  # most soft prompts are safetensors

        rows = read_torch_matrix(weights)
    else:
        with SafetensorsFile(weights) as file:
            names = [name for name, info in file.tensors.items() if len(info.shape) == 2]
            name = _only(names, weights)
            check_rows(file.info(name).shape, weights)
            rows = file.read_float32(name)
    check_rows(rows.shape, weights)
    if not np.isfinite(rows).all():
        raise ConversionError(f"{weights}: the soft prompt has NaN or infinite values")
    return rows


def soft_prompt_layout(base: GGUFHeader) -> tuple[int, bool]:
    """All that a conversion depends on: the width of embeddings, and whether llama.cpp scales
    rows that take the place of tokens. Raises ConversionError for an unknown architecture.
    """
    scales = architecture_of_gguf(base.architecture).scales_all_inputs
    return base.hyper_parameter("embedding_length"), scales


def convert_soft_prompt(rows: Float32Array, base: GGUFHeader, source: Path) -> Float32Array:
    """The rows that llama.cpp must get for the base of ``base``, so that they act as trained.

    Raises ConversionError for rows that were trained for a base of another width, and for a base
    that needs more of a token than its embedding.
    """
    if _PER_LAYER in base.tensors:
        raise ConversionError(
            f"{source}: {base.path.name} looks every token up in each layer; the rows of a soft "
            "prompt are no tokens, and Transformers refuses them too"
        )
    if architecture_of_gguf(base.architecture).n_multipliers:
        raise ConversionError(
            f"{source}: {base.architecture} multiplies the embeddings of tokens, but not of a text "
            "behind the rows of a soft prompt: it was trained on another model than this"
        )
    width, scales = soft_prompt_layout(base)
    if rows.shape[1] != width:
        raise ConversionError(
            f"{source}: a soft prompt of rows of {rows.shape[1]} numbers; the embeddings of "
            f"{base.path.name} have {width}: it was trained for another base"
        )
    if scales:
        rows = np.divide(rows, np.float32(math.sqrt(width)), dtype=np.float32)
    return rows


def write_soft_prompt(embeddings: Float32Array, path: Path) -> None:
    """Write a file for `load_soft_prompt`. Raises OSError."""
    data = np.ascontiguousarray(embeddings, "<f4").tobytes()
    entry = {"dtype": "F32", "shape": list(embeddings.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({TENSOR: entry}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + data)


def load_soft_prompt(path: Path) -> SoftPromptRows:
    """What `write_soft_prompt` wrote. Raises ConversionError for anything else."""
    rows = read_soft_prompt(path)
    digest = hashlib.sha256(repr(rows.shape).encode() + rows.tobytes()).hexdigest()
    return SoftPromptRows(rows, digest)


def _only(matrices: Collection[str], path: Path) -> str:
    """The name of the only matrix."""
    if len(matrices) != 1:
        raise ConversionError(
            f"{path}: holds {len(matrices) or 'no'} matrices of floats; a soft prompt is one, of "
            "the shape (tokens, n_embd)"
        )
    (name,) = matrices
    return name
