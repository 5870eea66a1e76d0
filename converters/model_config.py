"""Reads ``config.json`` of a Hugging Face model folder into checked numbers.

Both ways of writing RoPE are read: ``rope_theta`` with ``rope_scaling`` (before
Transformers 5) and ``rope_parameters``. What the GGUF file could not express is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConversionError
from .architectures import Architecture, architecture_of_hf
from .json_file import read_json

__all__ = ["ModelConfig", "Rope", "read_model_config"]

MAX_SIZE = 1 << 24
"""Of any dimension: beyond every known model, and products stay below 2^53."""

MAX_LAYERS = 10_000

MAX_NUMBER = 1e12
"""Of RoPE's numbers and epsilons: the largest known rope_theta is 1e8."""


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: ``kind`` is ``default``, ``linear`` or ``llama3``."""

    kind: str
    theta: float
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class ModelConfig:
    """The hyper-parameters that end up in a GGUF file.

    ``sizes`` holds hidden, feed_forward, heads, kv_heads, head_dim, vocab;
    ``biased`` the layer modules that have a bias; ``token_ids`` what config and
    generation config say about special tokens; ``notes`` what the GGUF file
    does differently from Transformers.
    """

    path: Path
    architecture: Architecture
    sizes: Mapping[str, int]
    n_layers: int
    n_context: int
    rms_norm_eps: float
    rope: Rope
    tied_head: bool
    biased: frozenset[str]
    token_ids: Mapping[str, int]
    notes: tuple[str, ...]


def read_model_config(folder: Path) -> ModelConfig:
    """Read ``folder/config.json``; ConversionError when the model cannot be converted."""
    path = folder / "config.json"
    config = read_json(path)
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise ConversionError(f"{path}: architectures does not name the model's class")
    architecture = architecture_of_hf(names[0])
    _refuse_unsupported(config, path)
    heads = _size(config, "num_attention_heads", path)
    hidden = _size(config, "hidden_size", path)
    sizes = {
        "hidden": hidden,
        "feed_forward": _size(config, "intermediate_size", path),
        "heads": heads,
        "kv_heads": _size(config, "num_key_value_heads", path, heads),
        "head_dim": _size(config, "head_dim", path, hidden // heads),
        "vocab": _size(config, "vocab_size", path),
    }
    if sizes["heads"] % sizes["kv_heads"] or sizes["head_dim"] % 2:
        raise ConversionError(
            f"{path}: {heads} heads of size {sizes['head_dim']} cannot share "
            f"{sizes['kv_heads']} key-value heads"
        )
    if (n_layers := _size(config, "num_hidden_layers", path)) > MAX_LAYERS:
        raise ConversionError(f"{path}: {n_layers} layers; {MAX_LAYERS} are allowed")
    return ModelConfig(
        path=path,
        architecture=architecture,
        sizes=sizes,
        n_layers=n_layers,
        n_context=_size(config, "max_position_embeddings", path),
        rms_norm_eps=_number(config, "rms_norm_eps", path),
        rope=_read_rope(config, architecture, path),
        tied_head=config.get("tie_word_embeddings") is True,
        biased=_biased(config, architecture, path),
        token_ids=_token_ids(folder, config),
        notes=_notes(config, names[0]),
    )


def _refuse_unsupported(config: Mapping[str, Any], path: Path) -> None:
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise ConversionError(
            f"{path}: the checkpoint is quantised ({method or 'quantization_config'})\n"
            "Convert the original float checkpoint, or use a ready GGUF file."
        )
    if (activation := config.get("hidden_act", "silu")) not in ("silu", "swish"):
        raise ConversionError(f"{path}: hidden_act {activation!r} is not supported, only silu")
    if config.get("partial_rotary_factor", 1.0) not in (1, None):
        raise ConversionError(f"{path}: partial_rotary_factor is not supported")


def _biased(config: Mapping[str, Any], architecture: Architecture, path: Path) -> frozenset[str]:
    modules: set[str] = set()
    for option, prefix in (("attention_bias", "self_attn."), ("mlp_bias", "mlp.")):
        if config.get(option):
            found = {name for name in architecture.biases if name.startswith(prefix)}
            if not found:
                raise ConversionError(f"{path}: {option} is not supported for {architecture.name}")
            modules |= found
    return frozenset(modules)


def _notes(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    window = config.get("sliding_window")
    # Qwen has a switch beside the number, Mistral only the number.
    used = config.get("use_sliding_window", name == "MistralForCausalLM")
    if window and used:
        return (
            f"the sliding attention window of {window} tokens is not applied: beyond it "
            "answers differ from Transformers",
        )
    return ()


def _read_rope(config: Mapping[str, Any], architecture: Architecture, path: Path) -> Rope:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ConversionError(f"{path}: the RoPE parameters are not an object")
    kind = rope.get("rope_type", rope.get("type")) or "default"
    if not isinstance(kind, str) or kind not in architecture.rope_types:
        supported = ", ".join(sorted(architecture.rope_types))
        raise ConversionError(
            f"{path}: RoPE scaling {kind!r} is not supported for {architecture.name}, "
            f"only {supported}"
        )
    if rope.get("partial_rotary_factor", 1.0) not in (1, None):
        raise ConversionError(f"{path}: partial_rotary_factor is not supported")
    theta = _number({"rope_theta": 10000.0, **config, **rope}, "rope_theta", path)
    wanted: Mapping[str, tuple[str, ...]] = {
        "linear": ("factor",),
        "llama3": (
            "factor",
            "low_freq_factor",
            "high_freq_factor",
            "original_max_position_embeddings",
        ),
    }
    parameters = {name: _number(rope, name, path) for name in wanted.get(kind, ())}
    if kind == "llama3" and parameters["high_freq_factor"] == parameters["low_freq_factor"]:
        raise ConversionError(f"{path}: low_freq_factor and high_freq_factor are equal")
    return Rope(kind, theta, parameters)


def _token_ids(folder: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """Special token ids; a list's first entry stands for it, config.json comes first."""
    ids: dict[str, int] = {}
    path = folder / "generation_config.json"
    generation = read_json(path) if path.is_file() else {}
    for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        value = config.get(f"{kind}_token_id")
        if type(value) is not int:
            value = generation.get(f"{kind}_token_id")
            value = value[0] if isinstance(value, list) and value else value
        if type(value) is int and value >= 0:
            ids[kind] = value
    return ids


def _size(config: Mapping[str, Any], name: str, path: Path, default: int | None = None) -> int:
    value = config.get(name)
    value = default if value is None else value
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        raise ConversionError(f"{path}: {name} is {value!r:.50}, expected a positive integer")
    return value


def _number(config: Mapping[str, Any], name: str, path: Path) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConversionError(f"{path}: {name} is {value!r:.50}, expected a number")
    # Written so that NaN and integers beyond float's range fail too.
    if not 0 < value < MAX_NUMBER:
        raise ConversionError(f"{path}: {name} is {value!r:.50}, expected a positive number")
    return value
