"""Describes one model architecture for the converters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .config_fields import ConfigFields

__all__ = ["Architecture", "HyperParameters", "TensorName"]

_LAYER = re.compile(r"(?:model\.)?layers\.(0|[1-9]\d{0,4})\.([\w.]+)")

HyperParameters = Mapping[str, "int | float"]
"""Values by GGUF key, without the architecture's name."""


@dataclass(frozen=True)
class TensorName:
    """The parts of a module's name. ``layer`` is None outside the layers.

    ``module`` is the name inside the layer, such as ``self_attn.q_proj``, or a global name such
    as ``embed_tokens``. ``gguf`` is the name of the GGUF tensor without its suffix.
    """

    gguf: str
    module: str
    layer: int | None


def _none(_fields: ConfigFields, _sizes: Mapping[str, int]) -> HyperParameters:
    return {}


@dataclass(frozen=True)
class Architecture:
    """Names and conventions of one architecture, as tables.

    ``layer_modules`` and ``global_modules`` map Transformers' names of modules to GGUF's.
    ``shapes`` gives the shape (out, in) of each module for the sizes of a model.

    Two fields say how GGUF's tensors differ. ``permuted`` names the modules whose output rows
    llama.cpp wants in another order, each with the GGUF hyper-parameter that holds its number of
    heads. ``norm_offset`` is added to the weight of every norm (see `offset`).

    ``biases`` are the layer modules that may have a bias, ``fixed_biases`` the modules that
    always have one. ``tied_head`` is the default for a config that does not say whether the head
    is tied to the embedding. Without ``own_head`` llama.cpp supports only a tied head. With
    ``head_fills_hidden`` llama.cpp assumes that the hidden size is heads × head size.

    ``hyper_parameters`` reads the parameters that only this architecture has.
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
        """The parts of a name such as ``model.layers.3.mlp.up_proj``; None for an unknown module.

        The leading ``model.`` may be missing, as in adapters that were trained on the bare
        model.
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

    def modules(self, n_layers: int) -> list[str]:
        """Transformers' names of all modules: the global ones, then layer by layer."""
        found = [m if m == "lm_head" else f"model.{m}" for m in self.global_modules]
        for layer in range(n_layers):
            found += [f"model.layers.{layer}.{name}" for name in self.layer_modules]
        return found

    def offset(self, module: str) -> float:
        """The number that GGUF adds to Transformers' weight of ``module``, a name of the tables."""
        return self.norm_offset if module.endswith("norm") else 0.0
