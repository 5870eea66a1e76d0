"""Converts a Hugging Face model folder into one GGUF file.

Tensors and hyper-parameters come out as llama.cpp's own converter writes them,
without torch, and in blocks of rows: the memory needed does not depend on the
size of the model.

Source: conversion/base.py, llama.py and qwen.py of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import ConversionError
from .checkpoint import open_checkpoint
from .model_config import ModelConfig, read_model_config
from .permutation import rotary_order
from .quantization import TensorType, encode_rows, row_bytes, tensor_type
from .rope import llama3_factors
from .safetensors import FLOATS, Array, Float32Array, SafetensorsFile, to_float32
from .vocabulary import Vocabulary, read_vocabulary, write_vocabulary

__all__ = ["FORMAT_VERSION", "BaseReport", "convert_base", "estimate_size"]

FORMAT_VERSION = 1
"""Part of cache keys: raised when the same folder would become another file."""

BLOCK_ELEMENTS = 1 << 20
"""Elements converted at a time: 4 MB of float32, and twice that in copies."""

ALIGNMENT = 32
"""GGUF's default alignment of tensor data, in bytes."""

_FILE_TYPES: Mapping[str, str] = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
}

_IGNORED_SUFFIXES = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")
"""Constants that old checkpoints carry."""


@dataclass(frozen=True)
class BaseReport:
    """What was written. ``notes`` says where the file departs from Transformers."""

    path: Path
    architecture: str
    quant: str
    tensors: int
    bytes: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All but the path, as JSON can hold it."""
        facts = asdict(self)
        del facts["path"]
        return facts


@dataclass(frozen=True)
class _Tensor:
    """One tensor to write: from ``source`` in the checkpoint, or ``values`` made here.

    ``n_heads`` is set where the rows have to be reordered.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorType
    source: str = ""
    values: Float32Array | None = None
    n_heads: int | None = None

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape[:-1]) * row_bytes(self.kind, self.shape[-1])


def convert_base(
    folder: Path,
    out: Path,
    *,
    quant: str,
    progress: Callable[[int, int], None] | None = None,
    pre_tokenizer: str | None = None,
) -> BaseReport:
    """Write the model in ``folder`` to ``out``; the bytes are deterministic.

    ``quant`` is ``f32``, ``f16``, ``bf16`` or ``q8_0``. ``progress`` is called
    with the bytes of tensor data written so far and in all. ``pre_tokenizer``
    forces ``tokenizer.ggml.pre`` where it cannot be recognised. Raises
    ConversionError when the model cannot be converted exactly, and OSError when
    ``out`` cannot be written.
    """
    config = read_model_config(folder)
    with open_checkpoint(folder) as checkpoint:
        tensors = _plan(config, checkpoint, quant)
        # After the plan: a vocabulary size that no tensor has is never allocated.
        vocabulary = read_vocabulary(folder, config, pre_tokenizer=pre_tokenizer)
        _write_header(config, vocabulary, tensors, quant, out)
        total = sum(tensor.n_bytes for tensor in tensors)
        done = 0
        with out.open("ab") as file:
            _pad(file)
            for tensor in tensors:
                for block in _blocks(tensor, checkpoint):
                    file.write(np.ascontiguousarray(block).data)
                    done += block.nbytes
                    if progress is not None:
                        progress(done, total)
                _pad(file)
    return BaseReport(
        path=out,
        architecture=config.architecture.name,
        quant=quant,
        tensors=len(tensors),
        bytes=out.stat().st_size,
        notes=config.notes + vocabulary.notes,
    )


def estimate_size(folder: Path, quant: str) -> int:
    """Bytes that `convert_base` will write: tensor data exactly, the rest roughly."""
    config = read_model_config(folder)
    with open_checkpoint(folder) as checkpoint:
        tensors = _plan(config, checkpoint, quant)
    data = sum(-(-tensor.n_bytes // ALIGNMENT) * ALIGNMENT for tensor in tensors)
    # The tokenizer's JSON is a little longer than the vocabulary and merges in GGUF.
    tokenizer = folder / "tokenizer.json"
    return data + (tokenizer.stat().st_size if tokenizer.is_file() else 0)


def _plan(
    config: ModelConfig, checkpoint: Mapping[str, SafetensorsFile], quant: str
) -> list[_Tensor]:
    """All tensors of the file in their order; every problem of the checkpoint shows here."""
    if quant not in _FILE_TYPES:
        raise ConversionError(f"cannot write {quant!r}; known are {', '.join(_FILE_TYPES)}")
    architecture, shapes = config.architecture, config.architecture.shapes(config.sizes)
    heads = {"attention.head_count": "heads", "attention.head_count_kv": "kv_heads"}
    globals_ = [m for m in architecture.global_modules if not (m == "lm_head" and config.tied_head)]
    modules = [m if m == "lm_head" else f"model.{m}" for m in globals_]
    for layer in range(config.n_layers):
        modules += [f"model.layers.{layer}.{name}" for name in architecture.layer_modules]
    plan = _rope_factors(config)
    used = {"lm_head.weight"} if config.tied_head else set()
    for module in modules:
        place = architecture.tensor_name(module)
        assert place is not None  # built from the same tables  # noqa: S101
        heads_key = architecture.permuted.get(place.module)
        n_heads = config.sizes[heads[heads_key]] if heads_key else None
        for suffix in (".weight", ".bias"):
            source, shape = module + suffix, shapes[place.module]
            if suffix == ".bias":
                if place.module not in config.biased:
                    continue
                shape = shape[:1]
            _check_source(config, checkpoint, source, shape)
            used.add(source)
            kind = tensor_type(quant, shape)
            plan.append(_Tensor(place.gguf + suffix, shape, kind, source, None, n_heads))
    for source in checkpoint:
        if source not in used and not source.endswith(_IGNORED_SUFFIXES):
            raise ConversionError(
                f"{checkpoint[source].path}: tensor {source!r} has no place in {architecture.name}"
            )
    return plan


def _check_source(
    config: ModelConfig,
    checkpoint: Mapping[str, SafetensorsFile],
    source: str,
    shape: tuple[int, ...],
) -> None:
    if (file := checkpoint.get(source)) is None:
        hint = " and tie_word_embeddings is not set" if source == "lm_head.weight" else ""
        raise ConversionError(f"{config.path.parent}: tensor {source!r} is missing{hint}")
    info = file.info(source)
    if info.shape != shape:
        raise ConversionError(
            f"{file.path}: tensor {source!r} has shape {list(info.shape)}, "
            f"{config.path.name} asks for {list(shape)}"
        )
    if info.dtype not in FLOATS:
        raise ConversionError(f"{file.path}: tensor {source!r} is {info.dtype}, expected floats")


def _rope_factors(config: ModelConfig) -> list[_Tensor]:
    if config.rope.kind != "llama3":
        return []
    values = llama3_factors(config.rope, config.sizes["head_dim"])
    return [_Tensor("rope_freqs.weight", values.shape, "F32", values=values)]


def _write_header(
    config: ModelConfig, vocabulary: Vocabulary, tensors: list[_Tensor], quant: str, out: Path
) -> None:
    """Everything before the tensor data."""
    from gguf import (
        GGML_QUANT_VERSION,
        GGMLQuantizationType,
        GGUFType,
        GGUFWriter,
        LlamaFileType,
        RopeScalingType,
    )

    writer = GGUFWriter(path=None, arch=config.architecture.name)
    sizes = config.sizes
    writer.add_type(GGUFType.MODEL)
    writer.add_block_count(config.n_layers)
    writer.add_context_length(config.n_context)
    writer.add_embedding_length(sizes["hidden"])
    writer.add_feed_forward_length(sizes["feed_forward"])
    writer.add_head_count(sizes["heads"])
    writer.add_head_count_kv(sizes["kv_heads"])
    writer.add_key_length(sizes["head_dim"])
    writer.add_value_length(sizes["head_dim"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope.theta)
    if config.rope.kind == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope.parameters["factor"])
    if config.architecture.writes_vocab_size:
        writer.add_vocab_size(sizes["vocab"])
        writer.add_rope_dimension_count(sizes["head_dim"])
    writer.add_file_type(LlamaFileType[_FILE_TYPES[quant]])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    write_vocabulary(writer, vocabulary)
    for tensor in tensors:
        kind = GGMLQuantizationType[tensor.kind]
        # With a raw type and a dtype other than uint8 the shape is taken as it is.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.n_bytes, raw_dtype=kind
        )
    try:
        writer.write_header_to_file(out)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def _blocks(tensor: _Tensor, checkpoint: Mapping[str, SafetensorsFile]) -> Iterator[Array]:
    """The tensor's data in blocks of rows."""
    if tensor.values is not None:
        yield encode_rows(tensor.values, tensor.kind)
        return
    file = checkpoint[tensor.source]
    dtype = file.info(tensor.source).dtype
    n_rows = tensor.shape[0]
    step = max(1, BLOCK_ELEMENTS // math.prod(tensor.shape[1:]))
    whole: Array | None = None
    if tensor.n_heads is not None:
        # Reordered rows come from all over a head; such a matrix is read at once, as stored.
        whole = file.read_stored(tensor.source)[rotary_order(n_rows, tensor.n_heads)]
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        stored = (
            file.read_stored(tensor.source, start, stop) if whole is None else whole[start:stop]
        )
        values = to_float32(stored, dtype)
        if not np.isfinite(values).all():
            raise ConversionError(f"{file.path}: tensor {tensor.source!r} has NaN or infinity")
        block = encode_rows(values, tensor.kind)
        if tensor.kind == "F16" and not np.isfinite(block).all():
            raise ConversionError(
                f"{file.path}: tensor {tensor.source!r} exceeds the range of float16\n"
                "Convert to bf16 or f32 instead."
            )
        yield block


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))
