"""Writes low-rank pairs as the GGUF file that ``llama_adapter_lora_init`` loads.

B includes the scale and ``adapter.lora.alpha`` is 0, so that llama.cpp applies B · A unchanged.
This is right for every way in which PEFT computes a scale. Every tensor is checked against the base
before anything is written.

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
from ..safetensors import Array, Float32Array
from .fitting import find_targets
from .targets import Target

__all__ = ["LoraPair", "LoraReport", "convert_lora", "stored_rank", "write_lora"]

_TILE = 4
"""If the rank is a multiple of this, llama.cpp multiplies several rows by other kernels than one
row, with other rounding (``tinyBLAS::matmul`` in ggml/src/ggml-cpu/llamafile/sgemm.cpp). An extra
rank of zeros avoids this: an answer in a batch then has the same bits as alone."""


@dataclass(frozen=True)
class LoraReport:
    """The file that was written: ``bytes`` on disk, and ``tensors``, the number of A and B.

    ``ranks`` and ``scales`` are the distinct values in it. ``dropped`` names the copies of base
    weights in the adapter's file, which are not needed.
    """

    path: Path
    tensors: int
    bytes: int
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    dropped: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Everything but the path, ready for JSON."""
        facts = asdict(self)
        del facts["path"]
        return facts


@dataclass(frozen=True)
class LoraPair:
    """One adapted tensor: ``a`` (rank, in) and ``b`` (out, rank), which includes the scale.

    The rows of ``b`` and the columns of ``a`` are in Transformers' order. For an embedding ``in``
    is the vocabulary.
    """

    target: Target
    a: Float32Array
    b: Float32Array
    is_embedding: bool = False


def stored_rank(rank: int) -> int:
    """The rank in the file for an adapter of ``rank``; see `_TILE`."""
    return rank + (rank % _TILE == 0)


def convert_lora(
    adapter: Adapter,
    base: GGUFHeader,
    out: Path,
    *,
    dtype: str = "f32",
) -> LoraReport:
    """Write ``adapter``, which must be plain LoRA for ``base``, to ``out``.

    The bytes are deterministic. ``dtype`` is ``f32`` or ``f16``. With f32, the default, the
    logits of llama.cpp do not depend on the rest of the batch. Raises ConversionError if the
    adapter does not fit the base, and names the tensors that do not fit. Raises OSError if
    ``out`` cannot be written.
    """
    pairs = []
    scales = set()
    for target, update in find_targets(adapter, base, for_lora=True):
        with np.errstate(over="ignore", invalid="ignore"):  # `write_lora` checks the values
            pair = update.low_rank()
            if pair is None:
                raise ConversionError(f"{adapter.path}: {target.hf_name} is not plain LoRA")
            b = (pair.b.astype(np.float64) * pair.scale).astype(np.float32)
        pairs.append(LoraPair(target, pair.a, b, pair.is_embedding))
        scales.add(pair.scale)
    write_lora(pairs, base.architecture, out, dtype=dtype, source=adapter.path)
    return LoraReport(
        path=out,
        tensors=2 * len(pairs),
        bytes=out.stat().st_size,
        ranks=tuple(sorted({pair.a.shape[0] for pair in pairs})),
        scales=tuple(sorted(scales)),
        dropped=tuple(f"{copy.module}.base_layer.weight" for copy in adapter.base_copies),
    )


def write_lora(
    pairs: Sequence[LoraPair], architecture: str, out: Path, *, source: Path, dtype: str = "f32"
) -> None:
    """Write ``pairs`` to ``out``. ``source`` is the file that errors name."""
    if dtype not in ("f32", "f16"):
        raise ConversionError(f"an adapter is written as f32 or f16, not {dtype!r}")
    tensors: dict[str, Array] = {}
    for pair in pairs:
        name = pair.target.gguf_name
        # llama.cpp looks up rows of an embedding's A by token, so A is transposed: (vocab, rank).
        a = pair.a.T if pair.is_embedding else pair.target.columns_to_gguf(pair.a)
        a = np.ascontiguousarray(a)
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
