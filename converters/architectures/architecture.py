"""Describes one model architecture for the converters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .changes import UNCHANGED, Change
from .config_fields import ConfigFields

__all__ = [
    "MULTIPLIERS_KEY",
    "Architecture",
    "Factors",
    "HyperParameters",
    "ModuleTensor",
    "Sizes",
    "TensorName",
]

_LAYER = re.compile(
    r"(?:(?:model|transformer|gpt_neox|decoder|backbone)\.)*"
    r"(?:layers|h|blocks)\.(0|[1-9]\d{0,4})\.([\w.*]+)"
)

HyperParameters = Mapping[str, "str | int | float | tuple[int, ...] | tuple[float, ...]"]
"""Values by GGUF key, without the architecture's name. A tuple has a value for each layer."""

MULTIPLIERS_KEY = "hivellm.multipliers"
"""Where our converter writes the numbers that weights were multiplied by; see `Architecture`."""

Factors = tuple[tuple[int, float], ...]
"""What GGUF's rows are multiplied by: so many rows by a number each. Zero rows are all."""

Sizes = Mapping[str, int]
"""The sizes of a model by name: hidden, feed_forward, heads, kv_heads, head_dim, rotary, layers and
vocab, and those that only one architecture has."""

_SIZE_KEYS = {"heads": "attention.head_count", "kv_heads": "attention.head_count_kv"}


@dataclass(frozen=True)
class TensorName:
    """The parts of a module's name. ``layer`` is None outside the layers.

    ``module`` is the name inside the layer, such as ``self_attn.q_proj``, or a global name such
    as ``embed_tokens``. ``gguf`` is the name of the GGUF tensor without its suffix. It holds the
    rows of the ``part``-th of ``parts`` equal parts.
    """

    gguf: str
    module: str
    layer: int | None
    part: int = 0
    parts: int = 1

    def rows(self, n: int) -> tuple[int, int]:
        """The first row of this part of ``n``, and the one after its last."""
        return self.part * n // self.parts, (self.part + 1) * n // self.parts


@dataclass(frozen=True)
class ModuleTensor:
    """One tensor of a model: ``source`` in Transformers, ``gguf``, both with suffixes.

    ``place`` are the parts of its module's name. A bias ``is_bias``.
    """

    source: str
    gguf: str
    place: TensorName
    is_bias: bool = False


def _none(_fields: ConfigFields, _sizes: Sizes) -> HyperParameters:
    return {}


def _same_sizes(sizes: Sizes, _kind: str) -> Sizes:
    return sizes


def _all_modules(_fields: ConfigFields, _sizes: Sizes) -> frozenset[str]:
    return frozenset()


def _no_biases(_fields: ConfigFields) -> frozenset[str]:
    return frozenset()


def _no_multipliers(_fields: ConfigFields) -> tuple[float, ...]:
    return ()


def _no_factors(_multipliers: tuple[float, ...], _sizes: Sizes) -> Mapping[str, Factors]:
    return {}


def _any(_fields: ConfigFields) -> bool:
    return True


def _no_sizes(_fields: ConfigFields, _sizes: Sizes) -> Sizes:
    return {}


def _one_kind(_fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    return ("",) * sizes["layers"]


@dataclass(frozen=True)
class Architecture:
    """Names and conventions of one architecture, as tables.

    ``layer_modules`` and ``global_modules`` map Transformers' names of modules to GGUF's. Several
    names are equal parts of the module's rows. ``parameters`` are tensors of layers that are no
    module's weight, with GGUF's whole name inside the layer. ``shapes`` gives Transformers' shape
    of each of them for the sizes of a model; a matrix is (out, in).

    Hybrid models have layers of several kinds. ``kinds`` reads the kind of every layer,
    ``kind_sizes`` gives the sizes in layers of a kind, and ``only_in`` names the kinds of layers
    that a module belongs to if not all layers have it. ``without`` reads which modules a model
    does not have at all.

    A module of ``stacks`` has a star in its name and names a size: so many modules, numbered in
    the place of the star, are one tensor of GGUF. The modules ``padded`` may have fewer rows than
    the vocabulary; zeros follow them. A module of ``unused`` may be missing from its layer number
    on: llama.cpp wants its tensor there, which is filled with zeros, and computes nothing with it.

    ``changes`` say by module how GGUF's tensors differ, ``norm_offset`` is what GGUF adds to the
    weight of every norm without an entry there (see `change`). ``size_keys`` are the GGUF keys
    of the sizes that changes depend on. ``multipliers`` reads ``n_multipliers`` numbers that
    GGUF has in its weights, ``factors`` says by module and rows how. ``float32`` names matrices
    that llama.cpp only takes as F32, ``no_lora`` modules whose LoRA its graph ignores.

    ``rope_theta`` and ``rotary_factor`` are the defaults. With ``yarn_mscale`` llama.cpp reads
    YaRN's second scale. ``biases`` are the layer modules that may have a bias, ``fixed_biases`` the
    modules that always have one; ``biased`` reads others from the config. ``tied_head`` is the
    default for a config that does not say whether the head is tied to the embedding. Without
    ``own_head`` llama.cpp supports only a tied head, without ``may_tie`` only a stored one. With
    ``head_fills_hidden`` llama.cpp assumes that the hidden size is heads × head size.

    ``keys`` are the names of usual config keys that this architecture calls otherwise, ``defaults``
    what Transformers takes for keys that published configs leave out. ``sizes`` reads sizes that
    only this architecture has, ``hyper_parameters`` its parameters. ``text_types`` are the values
    of ``model_type`` in the ``text_config`` of multimodal models whose text model it is.
    ``accepts`` says whether a config of one of ``hf_names`` is of this architecture. ``ignored``
    are beginnings of tensor names that llama.cpp has no use for. With ``rope_tensors`` a GGUF
    file may hold divisors of RoPE's frequencies. With ``checked_whole`` the check
    of GGUF files knows every tensor; other models are tried in a process of their own before they
    are loaded. With ``scales_all_inputs`` llama.cpp scales rows that take the place of tokens as it
    scales embeddings, and Transformers does not.
    """

    name: str
    hf_names: tuple[str, ...]
    layer_modules: Mapping[str, str | tuple[str, ...]]
    global_modules: Mapping[str, str]
    shapes: Callable[[Sizes], Mapping[str, tuple[int, ...]]]
    parameters: Mapping[str, str] = field(default_factory=dict)
    kinds: Callable[[ConfigFields, Sizes], tuple[str, ...]] = _one_kind
    kind_sizes: Callable[[Sizes, str], Sizes] = _same_sizes
    only_in: Mapping[str, str | frozenset[str]] = field(default_factory=dict)
    without: Callable[[ConfigFields, Sizes], frozenset[str]] = _all_modules
    stacks: Mapping[str, str] = field(default_factory=dict)
    padded: frozenset[str] = frozenset()
    unused: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)
    size_keys: Mapping[str, str] = field(default_factory=lambda: _SIZE_KEYS)
    norm_offset: float = 0.0
    multipliers: Callable[[ConfigFields], tuple[float, ...]] = _no_multipliers
    factors: Callable[[tuple[float, ...], Sizes], Mapping[str, Factors]] = _no_factors
    n_multipliers: int = 0
    float32: frozenset[str] = frozenset()
    no_lora: frozenset[str] = frozenset()
    biases: frozenset[str] = frozenset()
    fixed_biases: frozenset[str] = frozenset()
    biased: Callable[[ConfigFields], frozenset[str]] = _no_biases
    activations: frozenset[str] = frozenset({"silu", "swish"})
    rope_types: frozenset[str] = frozenset({"default", "linear", "yarn"})
    rope_theta: float = 10_000.0
    yarn_mscale: bool = False
    partial_rotary: bool = False
    rotary_factor: float = 1.0
    head_fills_hidden: bool = False
    tied_head: bool = False
    own_head: bool = True
    may_tie: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, int | float] = field(default_factory=dict)
    sizes: Callable[[ConfigFields, Sizes], Sizes] = _no_sizes
    hyper_parameters: Callable[[ConfigFields, Sizes], HyperParameters] = _none
    text_types: frozenset[str] = frozenset()
    accepts: Callable[[ConfigFields], bool] = _any
    ignored: tuple[str, ...] = ()
    checked_whole: bool = False
    rope_tensors: bool = False
    scales_all_inputs: bool = False

    def tensor_names(self, module: str) -> tuple[TensorName, ...]:
        """The parts of a name such as ``model.layers.3.mlp.up_proj``; none for an unknown module.

        The leading ``model.`` may be missing, as in adapters that were trained on the bare
        model. A module that GGUF divides has several tensors.
        """
        if match := _LAYER.fullmatch(module):
            layer, name = int(match[1]), match[2]
            found = self.layer_modules.get(name, ())
            names = (found,) if isinstance(found, str) else found
            return tuple(
                TensorName(f"blk.{layer}.{gguf}", name, layer, part, len(names))
                for part, gguf in enumerate(names)
            )
        name = module.removeprefix("model.")
        if (gguf := self.global_modules.get(name)) is not None:
            return (TensorName(gguf, name, None),)
        return ()

    def modules(
        self, kinds: Sequence[str | None], without: frozenset[str] = frozenset()
    ) -> list[str]:
        """Transformers' names of all modules: the global ones, then layer by layer.

        ``kinds`` are the kinds of the layers. A layer of kind None has the modules of all kinds.
        """
        found = [
            name if name == "lm_head" else f"model.{name}"
            for name in self.global_modules
            if name not in without
        ]
        for layer, kind in enumerate(kinds):
            found += [
                f"model.layers.{layer}.{name}"
                for name in self.layer_modules
                if self._has(kind, name) and name not in without
            ]
        return found

    def _has(self, kind: str | None, name: str) -> bool:
        """Whether layers of this kind have the module or parameter ``name``."""
        kinds = self.only_in.get(name)
        if kind is None or kinds is None:
            return True
        return kind == kinds if isinstance(kinds, str) else kind in kinds

    def tensors(
        self, kinds: Sequence[str], biased: frozenset[str], without: frozenset[str]
    ) -> list[ModuleTensor]:
        """All tensors of a model whose modules ``biased`` have a bias."""
        found: list[ModuleTensor] = []
        for module in self.modules(kinds, without):
            for place in self.tensor_names(module):
                found.append(ModuleTensor(f"{module}.weight", f"{place.gguf}.weight", place))
                if place.module in biased:
                    found.append(ModuleTensor(f"{module}.bias", f"{place.gguf}.bias", place, True))
        for layer, kind in enumerate(kinds):
            for name, gguf in self.parameters.items():
                if self._has(kind, name) and name not in without:
                    place = TensorName(f"blk.{layer}.{gguf}", name, layer)
                    found.append(ModuleTensor(f"model.layers.{layer}.{name}", place.gguf, place))
        return found

    def change(self, module: str) -> Change:
        """How GGUF's weight of ``module``, a name of the tables, differs from Transformers'."""
        if (change := self.changes.get(module)) is not None:
            return change
        if self.norm_offset and module.endswith("norm"):
            return Change(offset=self.norm_offset)
        return UNCHANGED
