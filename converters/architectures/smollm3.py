"""SmolLM3: Llama whose every fourth layer does not rotate queries and keys.

Source: src/models/smollm3.cpp of llama.cpp, which fixes the period.
"""

from __future__ import annotations

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, ROTARY_HEADS, llama_shapes

__all__ = ["SMOLLM3"]

_PERIOD = 4


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    expected = tuple((layer + 1) % _PERIOD != 0 for layer in range(sizes["layers"]))
    rotates = fields.flags("no_rope_layers", sizes["layers"])
    period = fields.get("no_rope_layer_interval", _PERIOD)
    if (expected if rotates is None and period == _PERIOD else rotates) != expected:
        raise fields.error(
            "no_rope_layers is not a zero for every fourth layer, as llama.cpp computes"
        )
    return {"vocab_size": sizes["vocab"], "rope.dimension_count": sizes["head_dim"]}


SMOLLM3 = Architecture(
    name="smollm3",
    hf_names=("SmolLM3ForCausalLM",),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    changes=ROTARY_HEADS,
    rope_theta=2_000_000.0,
    tied_head=True,
    hyper_parameters=_hyper_parameters,
    text_types=frozenset({"smollm3"}),
    checked_whole=True,
)
