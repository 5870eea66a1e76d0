"""Reads the scaling of rotary position embeddings from ``config.json``, and puts it into GGUF.

Both spellings are read: ``rope_theta`` with ``rope_scaling`` (before Transformers 5), and
``rope_parameters``. Options that GGUF cannot express are refused by name.

numpy is imported where tensors are made, so that finding a base does not load it.

Source: ``set_gguf_parameters`` of llama.cpp's conversion/base.py, and
``generate_extra_tensors`` of conversion/llama.py and phi.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import ConversionError
from ..architectures import Architecture
from ..architectures.config_fields import ConfigFields

if TYPE_CHECKING:
    from ..safetensors import Float32Array

__all__ = ["Rope", "llama3_factors", "read_rope", "rope_metadata", "rope_tensors"]


MIN_CONTEXT = 2
"""Fewest original positions of LongRoPE, which divides by their logarithm."""


_NEVER_ROTATED = 1e30
"""A divisor that makes every angle zero."""

MIN_ROTARY = 4
"""Fewest rotated values of a head for Hunyuan's scaling, which divides by the size less two."""


@dataclass(frozen=True)
class Rope:
    """A scaling of the kind ``default``, ``linear``, ``llama3``, ``yarn`` or ``longrope``.

    ``parameters`` are the numbers of this kind. ``divisors`` are its tensors, by GGUF name
    without suffix.
    """

    kind: str
    theta: float
    parameters: Mapping[str, float]
    divisors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


_LLAMA3 = (
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
)


def read_rope(config: ConfigFields, architecture: Architecture, n_rotary: int) -> Rope:
    """The scaling that ``config`` asks for. ``n_rotary`` values of each head are rotated.

    Raises ConversionError for a scaling that GGUF cannot express.
    """
    rope = _rope_fields(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    kind = "longrope" if kind == "su" else kind  # the first Phi-3 used this name
    kind = "default" if kind == "mrope" else kind  # the positions of text are the same in all three
    if kind == "dynamic" and rope.get("alpha") is not None:
        kind = "ntk-alpha"  # Hunyuan's name for it is another scaling elsewhere
    if not isinstance(kind, str) or kind not in architecture.rope_types:
        supported = ", ".join(sorted(architecture.rope_types))
        raise config.error(
            f"RoPE scaling {kind!r} is not supported for {architecture.name}, only {supported}"
        )
    theta = rope.number("rope_theta", config.number("rope_theta", architecture.rope_theta))
    if kind == "linear":
        return Rope(kind, theta, {"factor": rope.number("factor")})
    if kind == "llama3":
        parameters = {name: rope.number(name) for name in _LLAMA3}
        if parameters["high_freq_factor"] == parameters["low_freq_factor"]:
            raise config.error("low_freq_factor and high_freq_factor are equal")
        return Rope(kind, theta, parameters)
    if kind == "yarn":
        return Rope(kind, theta, _yarn(config, rope, architecture))
    if kind == "proportional":
        divisors = {"rope_freqs": _proportional(config, rope, n_rotary)}
        return Rope("default", theta, {}, divisors)
    if kind == "ntk-alpha":
        alpha = rope.number("alpha")
        if n_rotary < MIN_ROTARY:
            raise config.error(f"heads of size {n_rotary} have no RoPE scaling with alpha")
        return Rope("default", theta * alpha ** (n_rotary / (n_rotary - 2)), {})
    if kind == "longrope":
        divisors = {
            f"rope_factors_{length}": rope.numbers(f"{length}_factor", n_rotary // 2)
            for length in ("long", "short")
        }
        return Rope(kind, theta, _longrope(config, rope), divisors)
    return Rope(kind, theta, {})


def _rope_fields(config: ConfigFields) -> ConfigFields:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if isinstance(rope, dict) and isinstance(rope.get("full_attention"), dict):
        rope = rope["full_attention"]  # the config has a scaling for each kind of layer
    if not isinstance(rope, dict):
        raise config.error("the RoPE parameters are not an object")
    return ConfigFields(config.path, rope)


def _yarn(config: ConfigFields, rope: ConfigFields, architecture: Architecture) -> dict[str, float]:
    factor = rope.number("factor")
    scales = {}
    if architecture.yarn_mscale and rope.get("mscale_all_dim") is not None:
        if rope.number("mscale", 1.0) != 1:
            raise config.error("YaRN's mscale is not 1, as llama.cpp assumes")
        scales["mscale_all_dim"] = rope.number("mscale_all_dim")
    else:
        for name in ("mscale", "mscale_all_dim"):
            if rope.get(name) is not None:
                raise config.error(f"YaRN with {name} is not supported")
    # llama.cpp computes this value itself.
    attention = _yarn_scale(factor, 1.0)
    if scales:
        attention /= _yarn_scale(factor, scales["mscale_all_dim"])
    given = rope.number("attention_factor", attention)
    if not math.isclose(given, attention, rel_tol=1e-4):
        raise config.error(f"YaRN's attention_factor is {given:g}, llama.cpp uses {attention:g}")
    if rope.get("truncate") is False:
        raise config.error("YaRN without truncate is not supported")
    context = config.size("max_position_embeddings")
    return {
        "factor": factor,
        "original_max_position_embeddings": rope.size("original_max_position_embeddings", context),
        **{
            name: rope.number(name)
            for name in ("beta_fast", "beta_slow")
            if rope.get(name) is not None
        },
        **scales,
    }


def _proportional(config: ConfigFields, rope: ConfigFields, n_rotary: int) -> tuple[float, ...]:
    """Divisors that leave the last values of each half as they are, as llama.cpp's converter."""
    factor = rope.number("partial_rotary_factor", 1.0)
    rotated = int(n_rotary * factor / 2) if factor <= 1 else 0
    if not rotated:
        raise config.error(f"partial_rotary_factor {factor:g} of {n_rotary} rotates nothing")
    return (1.0,) * rotated + (_NEVER_ROTATED,) * (n_rotary // 2 - rotated)


def _yarn_scale(factor: float, mscale: float) -> float:
    return 0.1 * mscale * math.log(factor) + 1 if factor > 1 else 1.0


def _longrope(config: ConfigFields, rope: ConfigFields) -> dict[str, float]:
    context = config.size("max_position_embeddings")
    original = rope.size(
        "original_max_position_embeddings", config.size("original_max_position_embeddings", 4096)
    )
    if original < MIN_CONTEXT:
        raise config.error(
            f"original_max_position_embeddings is {original}, expected {MIN_CONTEXT} or more"
        )
    # Transformers multiplies the rotated values by this factor.
    attention = (
        math.sqrt(1 + math.log(context / original) / math.log(original))
        if context > original
        else 1.0
    )
    given = rope.number("attention_factor", attention)
    return {"attention_factor": float(given)}


def rope_metadata(rope: Rope) -> Mapping[str, str | int | float]:
    """The keys and values of GGUF's metadata. Keys come without the architecture's name."""
    found: dict[str, str | int | float] = {"rope.freq_base": float(rope.theta)}
    parameters = rope.parameters
    if rope.kind in ("linear", "yarn"):
        found["rope.scaling.type"] = rope.kind
        found["rope.scaling.factor"] = float(parameters["factor"])
    if rope.kind == "yarn":
        original = int(parameters["original_max_position_embeddings"])
        found["rope.scaling.original_context_length"] = original
        for name in ("beta_fast", "beta_slow"):
            if name in parameters:
                found[f"rope.scaling.yarn_{name}"] = float(parameters[name])
        if "mscale_all_dim" in parameters:
            found["rope.scaling.yarn_log_multiplier"] = float(parameters["mscale_all_dim"])
    if rope.kind == "longrope":
        found["rope.scaling.attn_factor"] = parameters["attention_factor"]
    return found


def rope_tensors(rope: Rope, head_dim: int) -> dict[str, Float32Array]:
    """The divisors of the frequencies that the file stores as tensors, by full name."""
    import numpy as np

    if rope.kind == "llama3":
        return {"rope_freqs.weight": llama3_factors(rope, head_dim)}
    return {f"{name}.weight": np.array(v, np.float32) for name, v in rope.divisors.items()}


def llama3_factors(rope: Rope, head_dim: int) -> Float32Array:
    """Divisors of the rotary frequencies for Llama 3's scaling, (head_dim / 2,).

    They are computed in float32, as in llama.cpp's converter. Raises ConversionError if a value
    leaves float32's range.
    """
    import numpy as np

    with np.errstate(all="ignore"):
        factors = _llama3_factors(rope, head_dim)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        listed = ", ".join(f"{name} {value:g}" for name, value in rope.parameters.items())
        raise ConversionError(f"the llama3 RoPE scaling cannot be computed in float32: {listed}")
    return factors


def _llama3_factors(rope: Rope, head_dim: int) -> Float32Array:
    import numpy as np

    one, exponents = (
        np.float32(1),
        np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim),
    )
    frequencies = one / np.power(np.float64(rope.theta), exponents).astype(np.float32)
    wavelengths = np.float32(2 * math.pi) / frequencies
    p = {name: np.float32(value) for name, value in rope.parameters.items()}
    factor, low, high = p["factor"], p["low_freq_factor"], p["high_freq_factor"]
    context = p["original_max_position_embeddings"]
    smooth = (context / wavelengths - low) / (high - low)
    blended = one / ((one - smooth) / factor + smooth)
    result = np.where(wavelengths > context / low, factor, blended)
    factors: Float32Array = np.where(wavelengths < context / high, one, result).astype(np.float32)
    return factors
