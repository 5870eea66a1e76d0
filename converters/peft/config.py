"""Reads PEFT's ``adapter_config.json``.

Options with a meaning that is not covered are refused by name: an adapter is converted exactly or
not at all.

Source: the config classes and ``get_pattern_key`` of PEFT 0.21.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ...lazy import lazy
from ..json_file import read_json
from .patterns import ModulePatterns

__all__ = ["AdapterConfig", "read_adapter_config"]

MAX_CONFIG_BYTES = 10_000_000
"""A config with a rank for each module of a large model takes about 0.1 MB."""

MAX_RANK = 65_536
"""No layer is wider, so an adapter of this rank could not be smaller than the layer."""

MAX_ALPHA = 1e9
"""Far beyond any real alpha. The limit keeps scaled weights within float32."""

MAX_CONFIG_MEMORY = 64 << 20
"""Memory that its values may take: enough for some 100,000 keys with their ranks."""

MAX_PATTERNS = 20_000
"""Keys of rank_pattern or alpha_pattern: enough for each module of a mixture of experts."""

METHODS: Mapping[str, str] = {
    "ADALORA": "AdaLoRA",
    "BOFT": "BOFT",
    "C3A": "C3A",
    "FOURIERFT": "FourierFT",
    "HRA": "HRA",
    "LN_TUNING": "LayerNorm tuning",
    "MISS": "MiSS",
    "OFT": "OFT",
    "PREFIX_TUNING": "prefix tuning",
    "PROMPT_TUNING": "prompt tuning",
    "P_TUNING": "P-tuning",
    "RANDLORA": "RandLoRA",
    "TRAINABLE_TOKENS": "trainable tokens",
    "VBLORA": "VB-LoRA",
    "VERA": "VeRA",
    "XLORA": "X-LoRA",
}
"""Names for messages. A ``peft_type`` that is missing here is refused by its own spelling."""

COVERED = ("LORA", "IA3", "LOHA", "LOKR")
"""The values of ``peft_type`` that are covered."""

REFUSED_OPTIONS: Mapping[str, str] = {
    "trainable_token_indices": "trainable tokens",
    "target_parameters": "LoRA on bare parameters, as in mixtures of experts",
    "layer_replication": "replicated layers",
    "alora_invocation_tokens": "activated LoRA (aLoRA)",
    "use_qalora": "QALoRA (pooled inputs)",
    "use_bdlora": "block-diagonal LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA (a diagonal between A and B)",
    "monteclora_config": "MonteCLoRA",
    "megatron_config": "Megatron layers",
}
"""Options of ``LoraConfig`` that make an adapter more than, or other than, what is covered."""

HARMLESS_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "true", "false", "none"})
"""Initialisations that leave the base unchanged. All others move part of it into A and B."""


@dataclass(frozen=True)
class AdapterConfig:
    """The numbers that turn saved matrices into a change of weights.

    The change is ``scale_of(module)`` times the product of the matrices. IA³ has neither ``r``
    nor ``alpha``; both are 1. ``source`` names the origin of the numbers for messages.
    """

    r: int
    alpha: float
    source: str
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    @lazy
    def _ranks(self) -> ModulePatterns[int]:
        return ModulePatterns(self.rank_pattern, "rank_pattern", self.source)

    @lazy
    def _alphas(self) -> ModulePatterns[float]:
        return ModulePatterns(self.alpha_pattern, "alpha_pattern", self.source)

    def rank_of(self, module: str) -> int:
        """The rank that PEFT gives to ``module``, such as ``model.layers.0.mlp.up_proj``."""
        rank = self._ranks.lookup(module)
        return self.r if rank is None else rank

    def scale_of(self, module: str) -> float:
        """The factor of B · A: ``alpha / r``, or ``alpha / √r`` for rsLoRA."""
        own = self._alphas.lookup(module)
        alpha = self.alpha if own is None else own
        rank = self.rank_of(module)
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank


def read_adapter_config(
    path: Path | None, *, r: int | None = None, alpha: float | None = None
) -> AdapterConfig:
    """The config in the file ``path``. Without a file, ``r`` and ``alpha`` make the config.

    A manifest may give the two numbers. Raises ConversionError if the config is incomplete, has
    an impossible value, or asks for something that is not covered.
    """
    if path is None:
        if r is None or alpha is None:
            raise ConversionError(
                "the adapter has no adapter_config.json, and r and alpha are not given elsewhere\n"
                "Add the adapter_config.json that PEFT saved beside the weights."
            )
        options: dict[str, Any] = {"r": r, "lora_alpha": alpha}
        source = "the manifest"
    else:
        options = read_json(path, max_bytes=MAX_CONFIG_BYTES, max_memory=MAX_CONFIG_MEMORY)
        source = str(path)
        _refuse_other_methods(options, source)
    rank_pattern = _pattern(options, "rank_pattern", source)
    for key, rank in rank_pattern.items():
        _check_rank(rank, f"rank_pattern[{key!r:.80}]", source)
    alpha_pattern = _pattern(options, "alpha_pattern", source)
    for key, value in alpha_pattern.items():
        _check_alpha(value, f"alpha_pattern[{key!r:.80}]", source)
    method = options.get("peft_type", "LORA")
    alpha_key = "lora_alpha" if method == "LORA" else "alpha"
    if method == "IA3":
        options = {**options, "r": 1, alpha_key: 1}
    config = AdapterConfig(
        r=_check_rank(options.get("r"), "r", source),
        alpha=_check_alpha(options.get(alpha_key), alpha_key, source),
        source=source,
        use_rslora=_flag(options, "use_rslora", source),
        use_dora=_flag(options, "use_dora", source),
        rank_pattern=rank_pattern,
        alpha_pattern=alpha_pattern,
    )
    config._ranks, config._alphas  # noqa: B018  # a bad pattern is reported here, not later
    return config


def _refuse_other_methods(options: Mapping[str, Any], source: str) -> None:
    method = options.get("peft_type", "LORA")
    if method not in COVERED:
        name = METHODS.get(str(method), f"{method!s:.50}")
        raise ConversionError(f"{source}: {name} is not supported yet")
    for option, meaning in REFUSED_OPTIONS.items():
        if options.get(option):
            raise ConversionError(f"{source}: {option}: {meaning}: not supported yet")
    init = options.get("init_lora_weights", True)
    if str(init).lower() not in HARMLESS_INITS:
        raise ConversionError(
            f"{source}: init_lora_weights is {init!r:.50}: the adapter belongs to a base from "
            "which its initial value was subtracted, not to the original one: not supported yet\n"
            "Save it with PEFT's path_initial_model_for_weight_conversion to make it plain LoRA."
        )


def _pattern(options: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    pattern = options.get(name) or {}
    if not isinstance(pattern, dict):
        raise ConversionError(f"{source}: {name} is not an object")
    if len(pattern) > MAX_PATTERNS:
        raise ConversionError(
            f"{source}: {name} has {len(pattern)} keys; {MAX_PATTERNS} are allowed"
        )
    return pattern


def _flag(options: Mapping[str, Any], name: str, source: str) -> bool:
    value = options.get(name)
    if value is not None and not isinstance(value, bool):
        raise ConversionError(f"{source}: {name} is {value!r:.50}, expected true or false")
    return value is True


def _check_rank(value: object, name: str, source: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_RANK:
        raise ConversionError(f"{source}: {name} is {value!r:.50}, expected a positive integer")
    return value


def _check_alpha(value: object, name: str, source: str) -> float:
    # Written so that NaN and integers beyond float's range fail too.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < MAX_ALPHA:
        raise ConversionError(f"{source}: {name} is {value!r:.50}, expected a number")
    return value
