"""Writes a LoRA adapter as the GGUF file that ``llama_adapter_lora_init`` loads.

The scale is folded into B and ``adapter.lora.alpha`` is 0, which makes
llama.cpp apply B · A as it is: right for every way PEFT computes a scale.
Nothing is written before every tensor was checked against the base.

Source: src/llama-adapter.cpp and ``build_lora_mm``, ``build_inp_embd`` in
src/llama-graph.cpp of llama.cpp.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConversionError
from .architectures import Architecture, architecture_of_gguf
from .gguf_header import GGUFHeader
from .peft import Adapter, LoraModule
from .permutation import permute_rows
from .safetensors import Array

__all__ = ["FORMAT_VERSION", "LoraReport", "convert_lora"]

FORMAT_VERSION = 1
"""Part of cache keys: raised when the same adapter would become another file."""


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

    def as_dict(self) -> dict[str, Any]:
        """All but the path, as JSON can hold it."""
        facts = asdict(self)
        del facts["path"]
        return facts


@dataclass(frozen=True)
class _Pair:
    """One adapted tensor of the base, ready to be written."""

    name: str
    a: Array
    b: Array


def convert_lora(
    adapter: Adapter,
    base: GGUFHeader,
    out: Path,
    *,
    dtype: str = "f32",
) -> LoraReport:
    """Write ``adapter``, which must belong to ``base``, to ``out``. The bytes are deterministic.

    ``dtype`` is ``f32`` or ``f16``. f32 is the default for a reason: with it
    llama.cpp's logits do not depend on what else is in the batch. Raises
    ConversionError when the adapter does not fit the base, naming every tensor
    that does not, and OSError when ``out`` cannot be written.
    """
    if dtype not in ("f32", "f16"):
        raise ConversionError(f"an adapter is written as f32 or f16, not {dtype!r}")
    architecture = architecture_of_gguf(base.architecture)
    problems: list[str] = []
    pairs: list[_Pair] = []
    for module in adapter.modules:
        result = _prepare(module, architecture, base)
        if isinstance(result, str):
            problems.append(result)
        else:
            pairs.append(_as_dtype(result, dtype, adapter.path))
    for name, shape in adapter.base_copies:
        problems += _check_copy(name, shape, architecture, base)
    if problems:
        shown = problems[:8] + (["…"] if len(problems) > 8 else [])
        raise ConversionError(
            f"{adapter.path} does not fit {base.path.name}: {shown[0]}\n"
            + "".join(f"{line}\n" for line in shown[1:])
            + "It was trained for another base, or in a form that cannot be applied to this one."
        )
    _write(pairs, base.architecture, out)
    return LoraReport(
        path=out,
        tensors=2 * len(pairs),
        bytes=out.stat().st_size,
        ranks=tuple(sorted({module.rank for module in adapter.modules})),
        scales=tuple(sorted({module.scale for module in adapter.modules})),
        dropped=tuple(f"{name}.base_layer.weight" for name, _ in adapter.base_copies),
    )


def _prepare(module: LoraModule, architecture: Architecture, base: GGUFHeader) -> _Pair | str:
    """The tensors for one module, or why it cannot be applied to this base."""
    place = architecture.tensor_name(module.name)
    if place is None:
        return f"{module.name} is no module of the architecture {architecture.name}"
    if place.layer is not None and place.layer >= base.n_layers:
        return f"{module.name}: the base has {base.n_layers} layers, 0 to {base.n_layers - 1}"
    tensor = base.tensors.get(f"{place.gguf}.weight")
    tied = f"{architecture.global_modules['lm_head']}.weight" not in base.tensors
    if tensor is None:
        if place.module == "lm_head":
            return (
                f"{module.name}: the base's head is tied to its embedding, which llama.cpp "
                "cannot adapt separately"
            )
        return f"{module.name}: the base has no tensor {place.gguf}.weight"
    if module.is_embedding != (place.module == "embed_tokens"):
        return f"{module.name}: an embedding's LoRA on another module, or the other way round"
    if module.is_embedding and tied:
        # llama.cpp finds adapters by tensor name, so it would also apply this one,
        # transposed, to the head: an assertion that ends the process.
        return (
            f"{module.name}: the base's embedding is also its head, which llama.cpp "
            "cannot adapt separately"
        )
    n_out, n_in = module.b.shape[0], module.a.shape[1]
    found = (n_in, n_out) if module.is_embedding else (n_out, n_in)
    if found != tensor.shape:
        return (
            f"{module.name} adapts a weight of shape {list(found)}, "
            f"{tensor.name} has {list(tensor.shape)}"
        )
    b = (module.b.astype(np.float64) * module.scale).astype(np.float32)
    if module.is_embedding:
        # Rows of A are looked up by token, so A is stored flipped: (vocab, rank).
        return _Pair(tensor.name, np.ascontiguousarray(module.a.T), b)
    if (heads_key := architecture.permuted.get(place.module)) is not None:
        n_heads = base.hyper_parameter(heads_key)
        if n_out % (2 * n_heads):
            return f"{module.name}: {n_out} rows cannot be {n_heads} heads"
        b = permute_rows(b, n_heads)
    return _Pair(tensor.name, module.a, b)


def _as_dtype(pair: _Pair, dtype: str, path: Path) -> _Pair:
    with np.errstate(over="ignore"):
        a, b = (m.astype(np.float16 if dtype == "f16" else np.float32) for m in (pair.a, pair.b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConversionError(f"{path}: {pair.name}: scaled values exceed the range of {dtype}")
    return _Pair(pair.name, a, b)


def _check_copy(
    name: str, shape: tuple[int, ...], architecture: Architecture, base: GGUFHeader
) -> list[str]:
    place = architecture.tensor_name(name)
    tensor = base.tensors.get(f"{place.gguf}.weight") if place else None
    if tensor is None or tensor.shape == shape:
        return []  # a missing tensor was reported with its module
    return [f"{name}: the adapter's copy of it has {list(shape)}, the base {list(tensor.shape)}"]


def _write(pairs: list[_Pair], architecture: str, out: Path) -> None:
    from gguf import GGUFType, GGUFWriter, Keys

    writer = GGUFWriter(path=None, arch=architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, 0.0)
    for pair in pairs:
        writer.add_tensor(f"{pair.name}.lora_a", pair.a)
        writer.add_tensor(f"{pair.name}.lora_b", pair.b)
    try:
        writer.write_header_to_file(out)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
