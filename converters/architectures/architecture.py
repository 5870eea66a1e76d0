"""What a converter has to know about one model architecture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .config_fields import ConfigFields

__all__ = ["Architecture", "HyperParameters", "TensorName"]

_LAYER = re.compile(r"(?:model\.)?layers\.(0|[1-9]\d{0,4})\.([\w.]+)")

HyperParameters = Mapping[str, "int | float"]
"""GGUF key without the architecture's name → value."""


@dataclass(frozen=True)
class TensorName:
    """The parts of a module's name. ``layer`` is None outside the layers.

    ``module`` is the name inside the layer (``self_attn.q_proj``), or the
    global one (``embed_tokens``); ``gguf`` is the GGUF tensor without suffix.
    """

    gguf: str
    module: str
    layer: int | None


def _none(_fields: ConfigFields, _sizes: Mapping[str, int]) -> HyperParameters:
    return {}


@dataclass(frozen=True)
class Architecture:
    """Names and conventions of one architecture, as tables.

    ``layer_modules`` and ``global_modules`` map Transformers' module names to
    GGUF's; ``shapes`` gives the shape (out, in) of each for a model's sizes.

    What differs between the tensors on both sides: ``permuted`` maps modules
    whose output rows llama.cpp wants in another order to the GGUF
    hyper-parameter with their number of heads; ``norm_offset`` is added to the
    weight of every norm (see `offset`).

    ``biases`` are the layer modules that may have one, ``fixed_biases`` those
    that always do. ``tied_head`` is what a config means that says nothing of
    it; without ``own_head`` llama.cpp knows no other. ``head_fills_hidden``:
    llama.cpp takes hidden size = heads × head size.

    ``hyper_parameters`` reads what only this architecture has.
    """

    name: str
    hf_names: tuple[str, ...]
    layer_modules: Mapping[str, str]
    global_modules: Mapping[str, str]
    shapes: Callable[[Mapping[str, int]], Mapping[str, tuple[int, ...]]]
    permuted: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0
    biases: frozenset[str] = frozenset()
    fixed_biases: frozenset[str] = frozenset()
    activations: frozenset[str] = frozenset({"silu", "swish"})
    rope_types: frozenset[str] = frozenset({"default", "linear", "yarn"})
    rope_theta: float = 10_000.0
    partial_rotary: bool = False
    head_fills_hidden: bool = False
    tied_head: bool = False
    own_head: bool = True
    hyper_parameters: Callable[[ConfigFields, Mapping[str, int]], HyperParameters] = _none

    def tensor_name(self, module: str) -> TensorName | None:
        """Where a module such as ``model.layers.3.mlp.up_proj`` lives; None if unknown.

        The leading ``model.`` may be missing, as in adapters that were
        trained on the bare model.
        """
        if match := _LAYER.fullmatch(module):
            layer, name = int(match[1]), match[2]
            if (gguf := self.layer_modules.get(name)) is not None:
                return TensorName(f"blk.{layer}.{gguf}", name, layer)
            return None
        name = module.removeprefix("model.")
        if (gguf := self.global_modules.get(name)) is not None:
            return TensorName(gguf, name, None)
        return None

    def offset(self, module: str) -> float:
        """What GGUF's weight of ``module`` (as in the tables) has more than Transformers'."""
        return self.norm_offset if module.endswith("norm") else 0.0
