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
from .options import Options
from .patterns import ModulePatterns

__all__ = ["AdapterConfig", "read_adapter_config"]

MAX_CONFIG_BYTES = 10_000_000
"""A config with a rank for each module of a large model takes about 0.1 MB."""

MAX_CONFIG_MEMORY = 64 << 20
"""Memory that its values may take: enough for some 100,000 keys with their ranks."""

MAX_PATTERNS = 20_000
"""Keys of rank_pattern or alpha_pattern: enough for each module of a mixture of experts."""

COVERED: Mapping[str, str] = {
    "ADALORA": "AdaLoRA",
    "BEFT": "BEFT",
    "BOFT": "BOFT",
    "BONE": "Bone",
    "C3A": "C3A",
    "DELORA": "DeLoRA",
    "FOURIERFT": "FourierFT",
    "GRALORA": "GraLoRA",
    "HIRA": "HiRA",
    "HRA": "HRA",
    "IA3": "IA³",
    "LN_TUNING": "LayerNorm tuning",
    "LOHA": "LoHa",
    "LOKR": "LoKr",
    "LORA": "LoRA",
    "MISS": "MiSS",
    "OFT": "OFT",
    "RANDLORA": "RandLoRA",
    "ROAD": "RoAd",
    "SHIRA": "SHiRA",
    "TRAINABLE_TOKENS": "trainable tokens",
    "VBLORA": "VB-LoRA",
    "VERA": "VeRA",
}
"""The methods that are covered, by ``peft_type``, with their names."""

RANKED = frozenset({"LORA", "LOHA", "LOKR"})
"""Methods whose matrices are scaled by ``alpha / r``, as `AdapterConfig` computes it."""

_MERGE = (
    "Merge it with PEFT (model.merge_and_unload().save_pretrained(…)) and use the result as base."
)
_CANNOT_MERGE = "PEFT cannot merge it into the weights either."

_KEYS_AND_VALUES = (
    "It trains keys and values for every layer, which would have to be written into the KV cache; "
    "llama.cpp has no call for that.\n"
    "Train prompt tuning or a LoRA instead."
)
_SOFT_PROMPT = "It changes no weight: an expert with this adapter is loaded as a soft prompt."

OTHERS: Mapping[str, tuple[str, str]] = {
    "ADAMSS": ("AdaMSS", _MERGE),
    "ADAPTION_PROMPT": (
        "the adaption prompts of LLaMA-Adapter",
        "They add an attention of their own to layers, which llama.cpp does not compute.\n"
        "Train prompt tuning or a LoRA instead.",
    ),
    "CARTRIDGE": ("Cartridge", _KEYS_AND_VALUES),
    "CPT": ("context-aware prompt tuning", _SOFT_PROMPT),
    "DEFT": ("DEFT", _MERGE),
    "FROD": ("FRoD", _MERGE),
    "GLORA": ("GLoRA", _MERGE),
    "LILY": ("Lily", _CANNOT_MERGE),
    "MULTITASK_PROMPT_TUNING": (
        "multitask prompt tuning",
        "Every request would have to name its task.\n"
        "Save the prompt of one task, multiplied out, as prompt tuning.",
    ),
    "OSF": ("OSF", _MERGE),
    "PEANUT": ("PEANuT", _MERGE),
    "POLY": ("Poly", _CANNOT_MERGE),
    "PREFIX_TUNING": ("prefix tuning", _KEYS_AND_VALUES),
    "PROMPT_TUNING": ("prompt tuning", _SOFT_PROMPT),
    "PSOFT": ("PSOFT", _MERGE),
    "PVERA": ("PVeRA", _MERGE),
    "P_TUNING": ("P-tuning", _SOFT_PROMPT),
    "SHADOW": ("Shadow", _CANNOT_MERGE),
    "SUPERTUNING": ("SuperTuning", _MERGE),
    "TINYLORA": ("TinyLoRA", _MERGE),
    "UNILORA": ("Uni-LoRA", _MERGE),
    "WAVEFT": ("WaveFT", _MERGE),
    "XLORA": ("X-LoRA", _CANNOT_MERGE),
}
"""Methods that no change of weights is read from: their names, and the way out. Any other is
refused by its own spelling."""

REFUSED_OPTIONS: Mapping[str, tuple[str, str]] = {
    "target_parameters": ("LoRA on bare parameters, as in mixtures of experts", _MERGE),
    "layer_replication": (
        "replicated layers",
        "The model has more layers than its base, so only a merged model can hold it.\n" + _MERGE,
    ),
    "alora_invocation_tokens": (
        "activated LoRA (aLoRA)",
        "It begins in the middle of a prompt, and changes nothing before; merged weights would "
        "change everything. Train a plain LoRA instead.",
    ),
    "use_qalora": ("QALoRA (pooled inputs)", _CANNOT_MERGE),
    "use_bdlora": ("block-diagonal LoRA", _MERGE),
    "arrow_config": ("Arrow routing", _CANNOT_MERGE),
    "kasa_config": ("KaSA (a diagonal between A and B)", _MERGE),
    "monteclora_config": ("MonteCLoRA", _MERGE),
    "megatron_config": ("Megatron layers", _MERGE),
}
"""Options of ``LoraConfig`` that make an adapter more than, or other than, what is covered."""

HARMLESS_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "true", "false", "none"})
"""Initialisations that leave the base unchanged. All others move part of it into A and B."""

RECOMPUTED_INITS = frozenset({"pissa", "olora"})
"""Initialisations whose part follows from the weight alone, so that it can be taken out again. The
faster ``pissa_niter_16`` and its like draw random numbers that are not saved."""


@dataclass(frozen=True)
class AdapterConfig:
    """The numbers that turn saved matrices into a change of weights.

    The change is ``scale_of(module)`` times the product of the matrices. Where a method computes
    with other numbers, ``r`` and ``alpha`` are 1, and it reads them from ``options``, the
    config's own keys. ``source`` names the origin of the numbers for messages.
    """

    r: int
    alpha: float
    source: str
    use_rslora: bool = False
    use_dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    options: Options = field(default_factory=lambda: Options({}, "no config"))

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
    checked = Options(options, source)
    method = str(checked.get("peft_type", "LORA"))
    if "lora_parameters" in options and "peft_type" not in options:
        return _mlx_config(checked)
    is_ranked = method in RANKED
    rank_pattern = _pattern(options, "rank_pattern", source) if is_ranked else {}
    for key, rank in rank_pattern.items():
        checked.checked_rank(rank, f"rank_pattern[{key!r:.80}]")
    alpha_pattern = _pattern(options, "alpha_pattern", source) if is_ranked else {}
    for key, value in alpha_pattern.items():
        checked.checked_number(value, f"alpha_pattern[{key!r:.80}]")
    alpha_key = "lora_alpha" if method == "LORA" else "alpha"
    config = AdapterConfig(
        r=checked.rank("r") if is_ranked else 1,
        alpha=checked.number(alpha_key) if is_ranked else 1,
        source=source,
        use_rslora=checked.flag("use_rslora"),
        use_dora=checked.flag("use_dora"),
        rank_pattern=rank_pattern,
        alpha_pattern=alpha_pattern,
        options=checked,
    )
    config._ranks, config._alphas  # noqa: B018  # a bad pattern is reported here, not later
    return config


def _mlx_config(options: Options) -> AdapterConfig:
    """The config of mlx-lm, which writes the scale itself instead of an alpha."""
    kind = options.get("fine_tune_type", "lora")
    if kind not in ("lora", "dora", "full"):
        raise options.error(f"fine_tune_type is {kind!r:.50}, expected lora, dora or full")
    numbers = options.get("lora_parameters")
    if not isinstance(numbers, dict):
        raise options.error(f"lora_parameters is {numbers!r:.50}, expected an object")
    own = Options(numbers, f"{options.source}: lora_parameters")
    rank = own.rank("rank", 1 if kind == "full" else None)
    scale = own.number("scale", 1.0 if kind == "full" else None)
    return AdapterConfig(
        rank, scale * rank, options.source, use_dora=kind == "dora", options=options
    )


def _refuse_other_methods(options: Mapping[str, Any], source: str) -> None:
    method = str(options.get("peft_type") or "LORA")
    if method not in COVERED:
        name, way_out = OTHERS.get(method, (f"{method:.50}", _MERGE))
        raise ConversionError(f"{source}: {name} is not supported\n{way_out}".strip())
    for option, (meaning, way_out) in REFUSED_OPTIONS.items():
        if options.get(option):
            raise ConversionError(f"{source}: {option}: {meaning}: not supported\n{way_out}")
    init = options.get("init_lora_weights", True)
    known = HARMLESS_INITS | (RECOMPUTED_INITS if method == "LORA" else frozenset())
    if str(init).lower() not in known:
        raise ConversionError(
            f"{source}: init_lora_weights is {init!r:.50}: the adapter belongs to a base from "
            "which its initial value was subtracted, and that value cannot be computed from the "
            "base alone\n"
            "Save it with PEFT's path_initial_model_for_weight_conversion, which makes it plain "
            f"LoRA. Or: {_MERGE[0].lower()}{_MERGE[1:]}"
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
