"""How much memory an expert and its base will take, estimated before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .converters.gguf.header import read_gguf_header
from .engine.cache_sizes import cache_sizes
from .engine.sizes import KV_BYTES, compute_bytes
from .errors import OutOfMemoryError
from .inference.options import SessionOptions
from .process.memory_limits import MemoryLimit, memory_limits

__all__ = ["MemoryEstimate", "check_fits", "estimate_memory", "parse_bytes"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}


@dataclass(frozen=True)
class MemoryEstimate:
    """The parts of the memory, in bytes.

    ``weights`` are memory-mapped and shared by all experts on the base. ``kv_cache`` and
    ``compute`` belong to the context, which these experts share, too. ``adapter`` is this
    expert's own. A GPU holds all parts, except for some of ``compute``.
    """

    weights: int
    kv_cache: int
    compute: int
    adapter: int

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.compute + self.adapter

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / 1e6:.0f} MB" for name, value in vars(self).items())
        return f"{self.total / 1e6:.0f} MB ({parts})".replace("_", " ")


def estimate_memory(
    files: Sequence[Path], options: SessionOptions, *, adapter_bytes: int = 0, n_streams: int = 1
) -> MemoryEstimate:
    """What the model in ``files`` takes with one context of ``n_streams`` sequences.

    The weights are those of the files' tensors. The KV cache is exact. ``compute`` is what a
    CPU needs for logits, attention scores or mask, and activations: within 15 % of what
    llama.cpp reports for SmolLM2-135M and Qwen3-0.6B, 512 to 8,192 positions. Raises
    ConversionError for a file that is no GGUF.
    """
    headers = [read_gguf_header(path, part=len(files) > 1) for path in files]
    main = next((header for header in headers if header.n_vocab), headers[0])
    weights = sum(tensor.n_bytes for header in headers for tensor in header.tensors.values())
    context = options.context.on_device(cpu=True)
    sizes = cache_sizes(main)
    per_position = sizes.values_per_position * KV_BYTES[context.kv_type]
    n_ctx = -(-context.n_ctx // 256) * 256
    n_embd = main.hyper_parameter("embedding_length")
    compute = compute_bytes(
        n_vocab=main.n_vocab,
        n_embd=n_embd,
        n_head=main.hyper_parameter("attention.head_count"),
        n_ctx=n_ctx,
        n_streams=n_streams,
        flash_attention=context.flash_attention is not False,
    )
    kv_cache = int(per_position * n_ctx + sizes.state_bytes) * n_streams
    return MemoryEstimate(weights, kv_cache, compute, adapter_bytes)


def check_fits(estimate: MemoryEstimate, what: str, limit: int | None = None) -> None:
    """Raise OutOfMemoryError, with the numbers, if it is more than is free, or than ``limit``."""
    limits = memory_limits() if limit is None else [MemoryLimit(limit, "are allowed")]
    for one in limits:
        # RLIMIT_DATA does not count the weights, which are a mapped file
        own_only = one.counts_reserved and not one.counts_mapped
        if estimate.total - own_only * estimate.weights > one.free:
            raise OutOfMemoryError(
                f"{what} needs about {estimate}; {max(0, one.free) / 1e6:.0f} MB {one.where}\n"
                "Use a smaller n_ctx, kv_type='q8_0', or a base with a smaller quantization."
            )


def parse_bytes(value: int | str) -> int:
    """``4GB``, ``512 MiB`` or a number as bytes. Raises ValueError for anything else."""
    if isinstance(value, int):
        amount, unit = float(value), ""
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", value.lower())
        if found is None:
            raise ValueError(f"{value!r} is no amount of memory; write it as 4GB or 512MiB")
        amount, unit = float(found[1]), found[2] or ""
    if amount < 1:
        raise ValueError(f"{value!r}: an amount of memory must be 1 byte or more")
    return int(amount * (_BINARY_UNITS[unit] if unit.endswith("i") else _UNITS[unit]))
