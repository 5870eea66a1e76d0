"""What a model's memory of a sequence takes, from the header of its file.

Attention remembers keys and values for every position. The recurrent layers of hybrid models
remember a state of fixed size instead.

Source: ``n_embd_r`` and ``n_embd_s`` in src/llama-hparams.cpp of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..converters.gguf.arrays import read_numbers
from ..converters.gguf.check.hyper_parameters import MAX_LAYERS
from ..converters.gguf.header import GGUFHeader

__all__ = ["CacheSizes", "cache_sizes"]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class CacheSizes:
    """``values_per_position`` are numbers of the KV cache, in its type. ``state_bytes`` belong to
    a whole sequence.
    """

    values_per_position: int
    state_bytes: int


def cache_sizes(header: GGUFHeader) -> CacheSizes:
    """The sizes for one sequence of the model. Absurd or missing values count as zero.

    Layers with a sliding window count as if they remembered everything.
    """
    n_layers = min(_number(header, "block_count"), MAX_LAYERS)
    heads = max(_per_layer(header, "attention.head_count", n_layers), default=0)
    kv_heads = _per_layer(header, "attention.head_count_kv", n_layers) or [heads] * n_layers
    recurrent = _flags(header, "recurrent_layers", n_layers) or [n == 0 for n in kv_heads]
    windowed = _flags(header, "sliding_window_pattern", n_layers) or [False] * n_layers
    n_own = n_layers - _number(header, "attention.shared_kv_layers")
    usual = _number(header, "embedding_length") // max(1, heads)
    values = sum(
        kv_heads[layer] * _head_values(header, usual, is_windowed=windowed[layer])
        for layer in range(n_own)
        if not recurrent[layer]
    )
    n_recurrent = n_layers if header.architecture == "falcon-h1" else sum(recurrent)
    return CacheSizes(values, n_recurrent * _state(header) * _FLOAT_BYTES)


def _head_values(header: GGUFHeader, usual: int, *, is_windowed: bool) -> int:
    """Numbers of one key and one value."""
    total = 0
    for side in ("key", "value"):
        length = _number(header, f"attention.{side}_length") or usual
        own = _number(header, f"attention.{side}_length_swa") if is_windowed else 0
        total += own or length
    return total


def _flags(header: GGUFHeader, name: str, n_layers: int) -> list[bool]:
    """A flag for every layer; none if the key has no array of them."""
    key = f"{header.architecture}.attention.{name}"
    if key not in header.arrays or header.arrays[key].length != n_layers:
        return []
    return [bool(flag) for flag in read_numbers(header, key)]


def _state(header: GGUFHeader) -> int:
    """Numbers that one recurrent layer remembers of a sequence."""
    window = _number(header, "shortconv.l_cache")
    if window:
        return (window - 1) * _number(header, "embedding_length")
    inner, state = _number(header, "ssm.inner_size"), _number(header, "ssm.state_size")
    groups, kernel = _number(header, "ssm.group_count"), _number(header, "ssm.conv_kernel")
    return inner * state + max(0, kernel - 1) * (inner + 2 * groups * state)


def _number(header: GGUFHeader, name: str) -> int:
    value = header.metadata.get(f"{header.architecture}.{name}")
    return value if type(value) is int and value > 0 else 0


def _per_layer(header: GGUFHeader, name: str, n_layers: int) -> list[int]:
    """The values of all layers; none if the key is missing."""
    key = f"{header.architecture}.{name}"
    array = header.arrays.get(key)
    if array is not None:
        values = [int(value) for value in read_numbers(header, key)]
        return values[:n_layers] + values[-1:] * (n_layers - len(values))
    return [_number(header, name)] * n_layers if key in header.metadata else []
