"""Checks the hyper-parameters that llama.cpp asserts, divides by, or would compute nonsense with.

Source: ``load_hparams`` in src/llama-model.cpp, src/llama-hparams.h, the constructor in
src/llama-context.cpp and the graphs in src/models/ of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...architectures import Architecture
from ..arrays import read_numbers
from .problems import Findings

__all__ = ["MAX_EXPERTS", "MAX_LAYERS", "check_general", "check_sizes"]

MAX_LAYERS = 512
"""``LLAMA_MAX_LAYERS``."""

MAX_EXPERTS = 1024
"""``LLAMA_MAX_EXPERTS``."""

MAX_SIZE = 1 << 24
"""Largest size of a dimension. No known model reaches it."""

MAX_POSITIONS = (1 << 31) - 1
"""llama.cpp returns the length of the context as int32."""

MAX_WINDOW = 1 << 30
"""llama.cpp adds the size of a batch to a sliding window in 32 bits."""

MIN_EPSILON, MAX_EPSILON = 1e-37, 1e6
"""llama.cpp asserts that an epsilon is neither negative nor NaN. Zero would divide by zero."""

_EPSILONS = (
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.group_norm_epsilon",
)
_ROPE_TYPES = ("none", "linear", "yarn", "longrope")
_NUMBERS = (
    "rope.scaling.attn_factor",
    "rope.scaling.alpha",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "attention.temperature_scale",
    "attention.scale",
    "logit_scale",
    "residual_scale",
    "embedding_scale",
)
_WINDOWED = {"gemma2": 2, "gemma3": 6, "olmo2": 4, "exaone4": 4}
"""Architectures whose graph has layers with a sliding window, with the usual period."""

_LAYERS_WITH_WINDOWS = 64
"""Only EXAONE 4 with so many layers has a window, and always."""


def check_general(findings: Findings) -> None:
    """Check the parameters of every architecture: layers, experts, epsilons, RoPE, attention."""
    n_layers = findings.integer("block_count", 1, MAX_LAYERS)
    findings.integer("nextn_predict_layers", 0, n_layers or MAX_LAYERS, default=0)
    findings.integer("context_length", 1, MAX_POSITIONS)
    findings.integer("embedding_length", 1, MAX_SIZE)
    _check_experts(findings)
    for name in _EPSILONS:
        findings.number(name, 0, MAX_EPSILON, default=0)
    for name in ("rope.freq_base", "rope.freq_base_swa"):
        findings.number(name, 1e-6, 1e15, default=1)
    kind = findings.text(findings.own("rope.scaling.type"))
    if kind is not None and kind not in _ROPE_TYPES:
        findings.add(findings.own("rope.scaling.type"), f"{kind!r:.50}", " or ".join(_ROPE_TYPES))
    for name in ("rope.scaling.factor", "rope.scale_linear"):
        findings.number(name, 0, 1e12, default=1)
    findings.integer("rope.scaling.original_context_length", 0, MAX_POSITIONS, default=0)
    for name in _NUMBERS:
        findings.number(name, -1e12, 1e12, default=0)
    if findings.flag(findings.own("attention.causal")) is False:
        findings.add(
            findings.own("attention.causal"), "false", "true: the model does not generate text"
        )
    findings.integer("pooling_type", 0, 4, default=0)


def check_sizes(findings: Findings, architecture: Architecture) -> Mapping[str, int] | None:
    """The sizes that the tensors of a known architecture must have; None if they contradict.

    The keys are those of `Architecture.shapes`, and ``rotary``, ``layers`` and ``experts``.
    """
    layers = findings.integer("block_count", 1, MAX_LAYERS)
    hidden = findings.integer("embedding_length", 1, MAX_SIZE)
    feed_forward = findings.integer("feed_forward_length", 1, MAX_SIZE)
    heads = findings.integer("attention.head_count", 1, hidden or MAX_SIZE)
    if not layers or not hidden or not feed_forward or not heads:
        return None
    kv_heads = findings.integer("attention.head_count_kv", 1, heads, default=heads)
    if not kv_heads:
        return None
    if heads % kv_heads:
        findings.add(
            findings.own("attention.head_count_kv"), str(kv_heads), f"a divisor of {heads}"
        )
    head_dim = findings.integer("attention.key_length", 2, MAX_SIZE, default=hidden // heads)
    if not head_dim:
        return None
    for name in ("value_length", "key_length_swa", "value_length_swa"):
        _same(findings, f"attention.{name}", head_dim)
    rotary = _check_rotary(findings, architecture, head_dim)
    if architecture.head_fills_hidden and heads * head_dim != hidden:
        findings.add(
            findings.own("attention.head_count"),
            f"{heads} of size {head_dim}",
            f"heads that make up embedding_length {hidden}",
        )
    findings.number("attention.layer_norm_rms_epsilon", MIN_EPSILON, MAX_EPSILON)
    _none_of_these(findings, "nextn_predict_layers")
    experts = findings.integer("expert_count", 0, MAX_EXPERTS, default=0)
    if architecture.name != "llama":
        _none_of_these(findings, "expert_count")
    _check_window(findings, architecture, layers)
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        findings.number(name, 0, 1e12, default=1)
    return {
        "hidden": hidden,
        "feed_forward": feed_forward,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "rotary": rotary or head_dim,
        "layers": layers,
        "experts": experts or 0,
        "vocab": findings.header.n_vocab,
    }


def _check_rotary(findings: Findings, architecture: Architecture, head_dim: int) -> int | None:
    rotary = findings.integer("rope.dimension_count", 2, head_dim, default=head_dim)
    if rotary is None:
        return None
    key = findings.own("rope.dimension_count")
    if rotary % 2:
        findings.add(key, str(rotary), "an even number")
    if rotary != head_dim and not architecture.partial_rotary:
        findings.add(key, str(rotary), f"the size of a head, {head_dim}")
    _same(findings, "rope.dimension_count_swa", rotary)
    return rotary


def _check_experts(findings: Findings) -> None:
    count = findings.integer("expert_count", 0, MAX_EXPERTS, default=0)
    if count is None:
        return
    used = findings.integer("expert_used_count", min(1, count), count, default=0)
    if used == 0 and count:
        findings.add(findings.own("expert_used_count"), "missing", f"from 1 to {count}")
    groups = findings.integer("expert_group_count", 0, max(count - 1, 0), default=0)
    if groups and groups > 1:
        if count % groups:
            findings.add(findings.own("expert_group_count"), str(groups), f"a divisor of {count}")
        findings.integer("expert_group_used_count", 1, groups - 1)


def _check_window(findings: Findings, architecture: Architecture, layers: int) -> None:
    """Gemma's graph has a cache for layers with a window, and asserts that it has such layers."""
    period = _WINDOWED.get(architecture.name)
    if period is None or (architecture.name == "exaone4" and layers != _LAYERS_WITH_WINDOWS):
        return
    low = 1 if architecture.name in ("gemma2", "exaone4") else 0
    window = findings.integer("attention.sliding_window", low, MAX_WINDOW, default=low)
    if not window:
        return
    key = findings.own("attention.sliding_window_pattern")
    array = findings.header.arrays.get(key)
    if array is None:
        findings.integer("attention.sliding_window_pattern", 2, MAX_SIZE, default=period)
    elif array.type_code not in (4, 5, 7) or array.length != layers:
        findings.add(key, f"an array of {array.length}", f"{layers} flags")
    elif not any(read_numbers(findings.header, key)):
        findings.add(key, "false for every layer", "some layers with a window")


def _same(findings: Findings, name: str, expected: int) -> None:
    found = findings.integer(name, 1, MAX_SIZE, default=expected)
    if found is not None and found != expected:
        findings.add(findings.own(name), str(found), str(expected))


def _none_of_these(findings: Findings, name: str) -> None:
    if findings.header.metadata.get(findings.own(name), 0) != 0:
        findings.add(
            findings.own(name),
            f"{findings.header.metadata[findings.own(name)]!r:.50}",
            f"none: {findings.header.architecture} has no such layers",
        )
