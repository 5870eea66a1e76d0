"""Reads a LoRA adapter as PEFT saves it: weights, scales and what else is in the file.

Every tensor is either part of a LoRA pair, a known harmless copy, or an error:
nothing is dropped silently.

Source: ``get_peft_model_state_dict`` and ``tuners/lora/layer.py`` of PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ConversionError
from .peft_config import LoraConfig, read_adapter_config
from .safetensors import Float32Array, SafetensorsFile

__all__ = ["Adapter", "LoraConfig", "LoraModule", "read_adapter", "read_adapter_config"]

MAX_NAME_LENGTH = 200
"""``base_model.model.model.layers.27.self_attn.q_proj.lora_A.default.weight`` has 69."""

_LINEAR = re.compile(r"(?P<module>[\w.]+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>\w+))?\.weight")
_EMBEDDING = re.compile(r"(?P<module>[\w.]+)\.lora_embedding_(?P<side>[AB])(?:\.(?P<adapter>\w+))?")
_COPY = re.compile(r"(?P<module>(?:[\w.]+\.)?(?:embed_tokens|lm_head))\.base_layer\.weight")

_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|_fsdp_wrapped_module)\.)*(?:base_model\.model\.)?")
"""What PEFT, compilation and distributed training put before a module's own name."""

_OTHER_METHODS: Mapping[str, str] = {
    r"lora_magnitude_vector": "DoRA",
    r"\.lora_[AB](\.\w+)?\.bias$": "a bias on lora_B (lora_bias)",
    r"\.lora_E\b|\.ranknum\b|\.lora_[AB]$": "AdaLoRA",
    r"\.lora_diag\b": "KaSA",
    r"\.ia3_l\b": "IA³",
    r"\.hada_": "LoHa",
    r"\.lokr_": "LoKr",
    r"\.boft_": "BOFT",
    r"\.oft_": "OFT",
    r"\.vera_": "VeRA",
    r"trainable_tokens": "trainable tokens",
    r"prompt_embeddings|prompt_encoder": "prompt, prefix or P-tuning",
    r"\.modules_to_save\.": "a module saved whole (modules_to_save)",
    r"\.bias$": "trained biases",
    r"(?<!lora_A)(?<!lora_B)\.weight$": "a module saved whole (modules_to_save, new tokens)",
}
"""Tensor names by which an adapter betrays that it is not plain LoRA, first hit first."""


@dataclass(frozen=True)
class LoraModule:
    """One adapted module: the delta is ``scale · b @ a``.

    ``a`` is (rank, in), ``b`` is (out, rank), both float32 as trained, without
    the scale. For an embedding ``in`` is the vocabulary.
    """

    name: str
    a: Float32Array
    b: Float32Array
    scale: float
    is_embedding: bool

    @property
    def rank(self) -> int:
        """Rows of ``a``."""
        return int(self.a.shape[0])


@dataclass(frozen=True)
class Adapter:
    """A whole adapter.

    ``base_copies`` are modules of which the file repeats the base's weight, as
    PEFT does beside a LoRA on the embedding or head: (module, shape) pairs.
    """

    path: Path
    config: LoraConfig
    modules: tuple[LoraModule, ...]
    base_copies: tuple[tuple[str, tuple[int, ...]], ...] = ()


def read_adapter(
    weights: Path,
    config: Path | None = None,
    *,
    r: int | None = None,
    alpha: float | None = None,
) -> Adapter:
    """Read ``adapter_model.safetensors`` and, if it exists, ``adapter_config.json``.

    ``r`` and ``alpha`` are used only without a config. Raises ConversionError
    for anything that is not plain LoRA and for weights that cannot be used:
    half a pair, mismatched ranks, empty, NaN or infinite.
    """
    options = read_adapter_config(config, r=r, alpha=alpha)
    with SafetensorsFile(weights) as file:
        pairs, copies = _sort_tensors(file)
        modules = tuple(
            _read_module(file, options, *key, pairs[key]) for key in sorted(pairs, key=_natural)
        )
        known = {module.name for module in modules}
        for name, tensor in copies.items():
            if name not in known:
                raise _refuse(file, tensor, "a module saved whole (modules_to_save, new tokens)")
        base_copies = tuple((name, file.info(tensor).shape) for name, tensor in copies.items())
    if not modules:
        raise ConversionError(f"{weights}: holds no LoRA tensors")
    return Adapter(Path(weights), options, modules, base_copies)


def _sort_tensors(
    file: SafetensorsFile,
) -> tuple[dict[tuple[str, bool], dict[str, str]], dict[str, str]]:
    """Tensor names by (module, is embedding) and side, and those of copied base weights."""
    pairs: dict[tuple[str, bool], dict[str, str]] = {}
    copies: dict[str, str] = {}
    adapters: dict[str, str] = {}
    for name in file.tensors:
        if len(name) > MAX_NAME_LENGTH:
            raise ConversionError(
                f"{file.path}: the tensor name {name[:60]!r}… is longer than {MAX_NAME_LENGTH}"
            )
        if copy := _COPY.fullmatch(name):
            copies[_module_name(copy["module"])] = name
            continue
        match = _LINEAR.fullmatch(name) or _EMBEDDING.fullmatch(name)
        if match is None:
            raise _refuse(file, name, _method_of(name))
        adapters.setdefault(match["adapter"] or "", name)
        sides = pairs.setdefault((_module_name(match["module"]), match.re is _EMBEDDING), {})
        if match["side"] in sides:
            raise ConversionError(
                f"{file.path}: {sides[match['side']]!r} and {name!r} are the same tensor"
            )
        sides[match["side"]] = name
    if len(adapters) > 1:
        first, second, *_ = adapters.values()
        raise ConversionError(
            f"{file.path}: tensors of several adapters in one file: {first!r} and {second!r}"
        )
    return pairs, copies


def _module_name(name: str) -> str:
    match = _WRAPPERS.match(name)
    return name[match.end() :] if match else name


def _method_of(name: str) -> str:
    hits = (method for pattern, method in _OTHER_METHODS.items() if re.search(pattern, name))
    return next(hits, "")


def _refuse(file: SafetensorsFile, name: str, method: str) -> ConversionError:
    if method:
        return ConversionError(f"{file.path}: {name!r}: {method}: not supported yet")
    return ConversionError(f"{file.path}: {name!r} is not a tensor of a PEFT LoRA adapter")


def _natural(key: tuple[str, bool]) -> list[tuple[bool, int, str]]:
    """Sort key that puts layer 2 before layer 10."""
    return [
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in key[0].split(".")
    ]


def _read_module(
    file: SafetensorsFile,
    config: LoraConfig,
    module: str,
    is_embedding: bool,
    sides: Mapping[str, str],
) -> LoraModule:
    for side, other in ("AB", "BA"):
        if side not in sides:
            raise ConversionError(f"{file.path}: {sides[other]!r} has no lora_{side} beside it")
    a, b = (_read_matrix(file, sides[side]) for side in "AB")
    if a.shape[0] != b.shape[1]:
        raise ConversionError(
            f"{file.path}: {module}: lora_A {list(a.shape)} has rank {a.shape[0]}, "
            f"lora_B {list(b.shape)} has {b.shape[1]}"
        )
    if a.shape[0] != (rank := config.rank_of(module)):
        raise ConversionError(
            f"{file.path}: {module} has rank {a.shape[0]}, but {config.source} says {rank}"
        )
    return LoraModule(module, a, b, config.scale_of(module), is_embedding)


def _read_matrix(file: SafetensorsFile, name: str) -> Float32Array:
    shape = file.info(name).shape
    if len(shape) != 2:
        raise ConversionError(
            f"{file.path}: {name!r} has shape {list(shape)}, expected a matrix\n"
            "LoRA on convolutions is not supported; a flat shape is a shard that was not gathered."
        )
    if 0 in shape:
        raise ConversionError(f"{file.path}: {name!r} is empty (shape {list(shape)})")
    values = file.read_float32(name)
    if not np.isfinite(values).all():
        raise ConversionError(f"{file.path}: {name!r} contains NaN or infinity")
    return values
