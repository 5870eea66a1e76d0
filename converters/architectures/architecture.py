"""What a converter has to know about one model architecture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Architecture", "TensorName"]

_LAYER = re.compile(r"(?:model\.)?layers\.(0|[1-9]\d{0,4})\.([\w.]+)")


@dataclass(frozen=True)
class TensorName:
    """A module's name split: ``layer`` is None outside the layers.

    ``module`` is the name inside the layer (``self_attn.q_proj``), or the
    global one (``embed_tokens``); ``gguf`` is the GGUF tensor without suffix.
    """

    gguf: str
    module: str
    layer: int | None


@dataclass(frozen=True)
class Architecture:
    """Names and conventions of one architecture, as tables.

    ``layer_modules`` and ``global_modules`` map Transformers' module names to
    GGUF's. ``permuted`` maps modules whose output rows llama.cpp wants in
    another order to the GGUF hyper-parameter with their number of heads.
    ``biases`` are the layer modules that may have one.
    """

    name: str
    hf_names: tuple[str, ...]
    layer_modules: Mapping[str, str]
    global_modules: Mapping[str, str]
    shapes: Callable[[Mapping[str, int]], Mapping[str, tuple[int, ...]]]
    permuted: Mapping[str, str] = field(default_factory=dict)
    biases: frozenset[str] = frozenset()
    rope_types: frozenset[str] = frozenset({"default", "linear"})
    writes_vocab_size: bool = False

    def tensor_name(self, module: str) -> TensorName | None:
        """Where a module such as ``model.layers.3.mlp.up_proj`` lives; None if unknown.

        The leading ``model.`` may be missing, as it is in adapters that were
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
