"""Converts a Hugging Face model folder into one GGUF file.

The file has the tensors and hyper-parameters that llama.cpp's own converter writes. Converting
takes no torch and works on blocks of rows, so the memory does not grow with the model. llama.cpp
itself makes its mixes of types, from a temporary float file beside the result.

Source: conversion/base.py and its neighbours in llama.cpp.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import ConversionError, LoadError
from ...hardware import physical_cores
from ..checkpoints.opening import open_checkpoint
from ..checkpoints.tensors import TensorReader
from ..gguf.check import check_model
from ..quantization import bits_per_weight, checked, encode_rows, file_type, is_mix
from ..safetensors import Array, to_float32
from ..tokenizers.vocabulary import read_vocabulary
from .config import read_model_config
from .derived import with_derived
from .head import settle_head
from .header import write_header
from .plan import PlannedTensor, plan_tensors, skipped_parts

__all__ = ["BaseReport", "convert_base", "estimate_size"]

BLOCK_ELEMENTS = 1 << 18
"""Elements converted at a time: 1 MB of float32, which fits into the processor's cache."""

ALIGNMENT = 32
"""GGUF's default alignment of tensor data, in bytes."""


@dataclass(frozen=True)
class BaseReport:
    """The file that was written: ``bytes`` on disk, and ``tensors``, a number.

    ``notes`` say where the file computes differently from Transformers.
    """

    path: Path
    architecture: str
    quant: str
    tensors: int
    bytes: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Everything but the path, ready for JSON."""
        facts = asdict(self)
        del facts["path"]
        return facts


def convert_base(
    folder: Path,
    out: Path,
    *,
    quant: str,
    progress: Callable[[int, int], None] | None = None,
    pre_tokenizer: str | None = None,
    threads: int | None = None,
) -> BaseReport:
    """Convert the model in ``folder`` to the GGUF file ``out``. The bytes are deterministic.

    ``quant`` is one of `QUANTIZATIONS`, in upper or lower case. ``progress`` is called with the
    bytes of tensor data written so far and their total; for llama.cpp's mixes, such as
    ``q4_k_m``, these count the float file that the mix is made from. ``pre_tokenizer`` sets
    ``tokenizer.ggml.pre`` for a tokenizer that is not recognised. ``threads`` defaults to the
    number of physical cores.

    Raises ConversionError if the model cannot be converted exactly, and OSError if ``out``
    cannot be written.
    """
    quant = checked(quant)
    threads = threads or physical_cores()
    config = read_model_config(folder)
    floats = out.with_name(f"{out.name}.float") if is_mix(quant) else out
    try:
        with open_checkpoint(folder) as opened:
            config, checkpoint, found = settle_head(config, opened)
            checkpoint = with_derived(config, checkpoint)
            tensors = plan_tensors(config, checkpoint, quant)
            skipped = skipped_parts(config, checkpoint)
            # After the plan, which refuses a vocabulary size that no tensor has: it is never
            # allocated.
            vocabulary = read_vocabulary(
                folder,
                size=config.sizes["vocab"],
                token_ids=config.token_ids,
                architecture=config.architecture.name,
                pre_tokenizer=pre_tokenizer,
            )
            write_header(config, vocabulary, tensors, quant, floats)
            _write_tensors(tensors, checkpoint, floats, threads, progress)
        _check_result(floats, folder)
        if is_mix(quant):
            from ...engine.quantizer import quantize_file

            quantize_file(floats, out, file_type(quant), threads=threads)
    finally:
        if is_mix(quant):
            floats.unlink(missing_ok=True)
    return BaseReport(
        path=out,
        architecture=config.architecture.name,
        quant=quant,
        tensors=len(tensors),
        bytes=out.stat().st_size,
        notes=(
            *(*opened.notes, *found, *([skipped] if skipped else [])),
            *(*config.notes, *vocabulary.notes),
        ),
    )


def estimate_size(folder: Path, quant: str) -> int:
    """Bytes on disk that `convert_base` needs: exact for tensor data, rough for the rest.

    For llama.cpp's mixes this counts the float file and, roughly, the result. Raises
    ConversionError as `convert_base` does.
    """
    quant = checked(quant)
    config = read_model_config(folder)
    with open_checkpoint(folder) as opened:
        config, checkpoint, _ = settle_head(config, opened)
        tensors = plan_tensors(config, with_derived(config, checkpoint), quant)
    data = sum(-(-tensor.n_bytes // ALIGNMENT) * ALIGNMENT for tensor in tensors)
    if is_mix(quant):
        weights = sum(math.prod(tensor.shape) for tensor in tensors)
        data += int(weights * bits_per_weight(quant) / 8)
    # The tokenizer's JSON is a little longer than the vocabulary and merges in GGUF.
    tokenizer = folder / "tokenizer.json"
    return data + (tokenizer.stat().st_size if tokenizer.is_file() else 0)


def _check_result(path: Path, folder: Path) -> None:
    """Refuse a result that would end llama.cpp's process, although ``folder`` was read without
    an error.
    """
    try:
        check_model([path])
    except ConversionError:
        raise
    except LoadError as error:
        problems = "\n".join(str(error).splitlines()[1:-1])
        raise ConversionError(
            f"{folder}: llama.cpp could not compute with the converted model\n{problems}\n"
            "Check config.json and the tokenizer's files against the published model."
        ) from error


def _write_tensors(
    tensors: list[PlannedTensor],
    checkpoint: Mapping[str, TensorReader],
    out: Path,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Append all tensor data. Threads encode the blocks; this one writes them in order."""
    total, done = sum(tensor.n_bytes for tensor in tensors), 0
    pending: deque[tuple[Future[Array], bool]] = deque()
    with out.open("ab") as file, ThreadPoolExecutor(threads) as pool:

        def write_next() -> None:
            nonlocal done
            future, is_last = pending.popleft()
            block = future.result()
            file.write(np.ascontiguousarray(block).data)
            done += block.nbytes
            if progress is not None:
                progress(done, total)
            if is_last:
                _pad(file)

        _pad(file)
        try:
            for tensor in tensors:
                for start, block, is_last in _blocks(tensor, checkpoint):
                    task = pool.submit(_encode, tensor, start, block, checkpoint)
                    pending.append((task, is_last))
                    # This bounds the memory and keeps every thread busy.
                    if len(pending) > threads:
                        write_next()
            while pending:
                write_next()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _blocks(
    tensor: PlannedTensor, checkpoint: Mapping[str, TensorReader]
) -> Iterator[tuple[int, Array, bool]]:
    """The first row and the stored data of blocks of rows, each with whether it is the last."""
    if tensor.values is not None:
        yield 0, tensor.values, True
        return
    file = checkpoint[tensor.source]
    n_rows = tensor.shape[0]
    step = max(1, BLOCK_ELEMENTS // math.prod(tensor.shape[1:]))
    first = tensor.first_row
    whole: Array | None = None
    if tensor.rows is not None or tensor.columns is not None or tensor.change.reshapes:
        # Reordering takes rows from all over a head, so such a matrix is read in one piece.
        n_stored = file.info(tensor.source).shape[0] if tensor.change.reshapes else n_rows
        whole = file.read_stored(tensor.source, first, first + n_stored).reshape(tensor.shape)
        whole = whole if tensor.rows is None else whole[tensor.rows]
        whole = whole if tensor.columns is None else whole[:, tensor.columns]
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        if whole is None:
            block = file.read_stored(tensor.source, first + start, first + stop)
        else:
            block = whole[start:stop]
        yield start, block, stop == n_rows


def _encode(
    tensor: PlannedTensor, start: int, stored: Array, checkpoint: Mapping[str, TensorReader]
) -> Array:
    """A block of rows from ``start`` on as the file stores it.

    Raises ConversionError for values that it cannot hold.
    """
    if tensor.values is not None:
        return encode_rows(tensor.values, tensor.kind)
    file = checkpoint[tensor.source]
    values = to_float32(stored, file.info(tensor.source).dtype)
    if not np.isfinite(values).all():
        raise ConversionError(f"{file.path}: tensor {tensor.source!r} has NaN or infinity")
    changed = tensor.change.values(values)
    if (factors := tensor.factors) is not None:
        own = factors if factors.size == 1 else factors[start : start + len(values)]
        with np.errstate(over="ignore"):
            changed = changed * own.reshape(-1, *(1,) * (values.ndim - 1))
    if changed is not values and not np.isfinite(changed).all():
        raise ConversionError(f"{file.path}: tensor {tensor.source!r} exceeds float32's range")
    block = encode_rows(changed, tensor.kind)
    if tensor.kind == "F16" and not np.isfinite(block).all():
        raise ConversionError(
            f"{file.path}: tensor {tensor.source!r} exceeds the range of float16\n"
            "Convert to bf16 or f32 instead."
        )
    return block


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))
