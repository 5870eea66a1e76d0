"""Writes low-rank pairs as the GGUF file that ``llama_adapter_lora_init`` loads.

The scale is folded into B and ``adapter.lora.alpha`` is 0, which makes
llama.cpp apply B · A unchanged. That is right for every way PEFT computes a scale.
Nothing is written before every tensor was checked against the base.

Source: src/llama-adapter.cpp and ``build_lora_mm``, ``build_inp_embd`` in
src/llama-graph.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...errors import ConversionError
from ..gguf.header import GGUFHeader
from ..peft.adapter import Adapter
from ..peft.updates import LowRank
from ..safetensors import Array, Float32Array
from .targets import Target, find_targets

__all__ = ["FORMAT_VERSION", "LoraPair", "LoraReport", "convert_lora", "stored_rank", "write_lora"]

FORMAT_VERSION = 2
"""Part of cache keys: raised when the same adapter would become another file."""

_TILE = 4
"""llama.cpp multiplies several rows by other kernels than one row, with other rounding, if the rank
is a multiple of this (``tinyBLAS::matmul`` in ggml/src/ggml-cpu/llamafile/sgemm.cpp). A rank of
zeros more, and an answer in a batch has the bits that it has alone."""


@dataclass(frozen=True)
class LoraReport:
    """What was written. ``tensors`` counts A and B; ``ranks`` and ``scales`` are distinct values.

    ``dropped`` names copies of base weights in the adapter's file, which are not needed.
    """

    path: Path
    tensors: int
    bytes: int
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    dropped: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """All but the path, as JSON can hold it."""
        facts = asdict(self)
        del facts["path"]
        return facts


@dataclass(frozen=True)
class LoraPair:
    """One adapted tensor: ``a`` (rank, in) and ``b`` (out, rank), scale included, rows of
    ``b`` in Transformers' order. For an embedding ``in`` is the vocabulary.
    """

    target: Target
    a: Float32Array
    b: Float32Array
    is_embedding: bool = False


def stored_rank(rank: int) -> int:
    """Ranks that the file has for an adapter of ``rank``; see `_TILE`."""
    return rank + (rank % _TILE == 0)


def convert_lora(
    adapter: Adapter,
    base: GGUFHeader,
    out: Path,
    *,
    dtype: str = "f32",
) -> LoraReport:
    """Write ``adapter``, which must be LoRA and belong to ``base``, to ``out``.

    The bytes are deterministic. ``dtype`` is ``f32`` or ``f16``. f32 is the
    default for a reason: with it llama.cpp's logits do not depend on what else
    is in the batch. Raises ConversionError when the adapter does not fit the
    base, naming every tensor that does not, and OSError when ``out`` cannot be
    written.
    """
    pairs = []
    scales = set()
    for target, update in find_targets(adapter, base, for_lora=True):
        if type(update) is not LowRank:
            raise ConversionError(f"{adapter.path}: {target.hf_name} is not plain LoRA")
        b = (update.b.astype(np.float64) * update.scale).astype(np.float32)
        pairs.append(LoraPair(target, update.a, b, update.is_embedding))
        scales.add(update.scale)
    write_lora(pairs, base.architecture, out, dtype=dtype, source=adapter.path)
    return LoraReport(
        path=out,
        tensors=2 * len(pairs),
        bytes=out.stat().st_size,
        ranks=tuple(sorted({pair.a.shape[0] for pair in pairs})),
        scales=tuple(sorted(scales)),
        dropped=tuple(f"{name}.base_layer.weight" for name, _ in adapter.base_copies),
    )


def write_lora(
    pairs: Sequence[LoraPair], architecture: str, out: Path, *, source: Path, dtype: str = "f32"
) -> None:
    """Write ``pairs`` to ``out``; ``source`` is named in errors."""
    if dtype not in ("f32", "f16"):
        raise ConversionError(f"an adapter is written as f32 or f16, not {dtype!r}")
    tensors: dict[str, Array] = {}
    for pair in pairs:
        name = pair.target.gguf_name
        # Rows of an embedding's A are looked up by token, so it is stored flipped: (vocab, rank).
        a = np.ascontiguousarray(pair.a.T) if pair.is_embedding else pair.a
        b = pair.b if pair.is_embedding else pair.target.to_gguf(pair.b)
        if stored_rank(len(pair.a)) > len(pair.a):
            a = np.pad(a, ((0, 0), (0, 1)) if pair.is_embedding else ((0, 1), (0, 0)))
            b = np.pad(b, ((0, 0), (0, 1)))
        for side, values in (("a", a), ("b", b)):
            with np.errstate(over="ignore"):
                stored = values.astype(np.float16 if dtype == "f16" else np.float32)
            if not np.isfinite(stored).all():
                raise ConversionError(
                    f"{source}: {name}: scaled values exceed the range of {dtype}"
                )
            tensors[f"{name}.lora_{side}"] = stored
    _write(tensors, architecture, out)


def _write(tensors: Mapping[str, Array], architecture: str, out: Path) -> None:
    from gguf import GGUFType, GGUFWriter, Keys

    writer = GGUFWriter(path=None, arch=architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, 0.0)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    try:
        writer.write_header_to_file(out)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
