"""Reads the ``config.json`` of a Hugging Face model folder into checked numbers.

Options that a GGUF file cannot express are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..architectures import Architecture, HyperParameters, Sizes, architecture_of_hf
from ..architectures.architecture import Factors
from ..architectures.config_fields import ConfigFields
from ..checkpoints.quantized.settings import settings_of
from ..gguf.check.hyper_parameters import MAX_LAYERS
from ..json_file import read_json
from .rope import Rope, read_rope

__all__ = ["ModelConfig", "read_model_config"]

MAX_VOCABULARY = 1 << 20
"""Four times the largest known vocabulary. Ids without a token become placeholder strings."""


_HAVE_WINDOWS = frozenset(
    {
        "MistralForCausalLM",
        "Ministral3ForCausalLM",
        "Mistral3ForConditionalGeneration",
        "Phi3ForCausalLM",
    }
)
"""Classes that apply ``sliding_window`` without another option, which llama.cpp does not."""


@dataclass(frozen=True)
class ModelConfig:
    """The hyper-parameters that end up in a GGUF file.

    ``sizes`` has the keys of `Sizes`; ``rotary`` counts the values of each head that are rotated.
    ``kinds`` are the kinds of the layers. ``hyper_parameters`` holds the parameters that only
    this architecture has, by GGUF key. ``factors`` are in the weights. ``biased`` names the
    layer modules with a bias, ``without`` the modules of the tables that this model does not
    have. ``token_ids`` are the special tokens of the config and the generation config. A model
    that is part of a multimodal one ``is_text_part``. ``notes`` say where the GGUF file
    computes differently from Transformers.
    """

    path: Path
    architecture: Architecture
    sizes: Sizes
    kinds: tuple[str, ...]
    n_context: int
    rms_norm_eps: float
    writes_head_dim: bool
    rope: Rope
    hyper_parameters: HyperParameters
    factors: Mapping[str, Factors]
    tied_head: bool
    biased: frozenset[str]
    without: frozenset[str]
    token_ids: Mapping[str, int]
    is_text_part: bool
    notes: tuple[str, ...]


def read_model_config(folder: Path) -> ModelConfig:
    """Read ``folder/config.json``. Raises ConversionError if the model cannot be converted."""
    path = folder / "config.json"
    whole = ConfigFields(path, read_json(path))
    names = whole.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise whole.error("architectures does not name the model's class")
    architecture = architecture_of_hf(names[0], whole)
    settings_of(whole.values, path)  # refuses a quantisation that is not read
    fields = whole.of_text().renamed(architecture.keys, architecture.defaults)
    _check_activation(fields, architecture)
    sizes = _sizes(fields, architecture)
    tied_head = fields.get("tie_word_embeddings", architecture.tied_head) is True
    if not tied_head and not architecture.own_head:
        raise fields.error(f"a head of its own is not supported for {architecture.name}")
    if tied_head and not architecture.may_tie:
        raise fields.error(f"a tied head is not supported for {architecture.name}")
    return ModelConfig(
        path=path,
        architecture=architecture,
        sizes=sizes,
        kinds=architecture.kinds(fields, sizes),
        n_context=fields.size("max_position_embeddings"),
        rms_norm_eps=fields.number("rms_norm_eps"),
        writes_head_dim=fields.get("head_dim") is not None,
        rope=read_rope(fields, architecture, sizes.get("whole_head", sizes["rotary"])),
        hyper_parameters=architecture.hyper_parameters(fields, sizes),
        factors=architecture.factors(architecture.multipliers(fields), sizes)
        if architecture.n_multipliers
        else {},
        tied_head=tied_head,
        biased=_biased(fields, architecture),
        without=architecture.without(fields, sizes),
        token_ids=_token_ids(folder, fields.values),
        is_text_part=any(whole.inner(f"{kind}_config").values for kind in ("text", "vision")),
        notes=_notes(fields, names[0]),
    )


def _sizes(fields: ConfigFields, architecture: Architecture) -> Sizes:
    heads, hidden = fields.size("num_attention_heads"), fields.size("hidden_size")
    head_dim = fields.size("head_dim", hidden // heads)
    kv_heads = fields.size("num_key_value_heads", heads)
    sizes = {
        "hidden": hidden,
        "feed_forward": fields.common_size("intermediate_size"),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "rotary": _rotary(fields, architecture, head_dim),
        "layers": fields.size("num_hidden_layers"),
        "vocab": fields.size("vocab_size"),
    }
    if heads % kv_heads or head_dim % 2:
        raise fields.error(
            f"{heads} heads of size {head_dim} cannot share {kv_heads} key-value heads"
        )
    if architecture.head_fills_hidden and heads * head_dim != hidden:
        raise fields.error(
            f"{heads} heads of size {head_dim} do not make the hidden size {hidden}, "
            f"as llama.cpp requires for {architecture.name}"
        )
    if sizes["vocab"] > MAX_VOCABULARY:
        raise fields.error(f"a vocabulary of {sizes['vocab']}; {MAX_VOCABULARY} are allowed")
    if sizes["layers"] > MAX_LAYERS:
        raise fields.error(
            f"{sizes['layers']} layers (num_hidden_layers); llama.cpp computes {MAX_LAYERS} at most"
        )
    return {**sizes, **architecture.sizes(fields, sizes)}


def _rotary(fields: ConfigFields, architecture: Architecture, head_dim: int) -> int:
    """The number of values in each head that are rotated."""
    places = [fields.values, fields.get("rope_parameters"), fields.get("rope_scaling")]
    found = [place.get("partial_rotary_factor") for place in places if isinstance(place, dict)]
    factor = next((value for value in found if value is not None), architecture.rotary_factor)
    if factor in (1, None):
        return head_dim
    if not architecture.partial_rotary:
        raise fields.error(f"partial_rotary_factor is not supported for {architecture.name}")
    rotary = int(factor * head_dim) if isinstance(factor, float) and 0 < factor < 1 else 0
    if not rotary or rotary % 2:
        raise fields.error(
            f"partial_rotary_factor {factor!r:.50} of {head_dim} is not an even number"
        )
    return rotary


def _check_activation(fields: ConfigFields, architecture: Architecture) -> None:
    default = min(architecture.activations)
    activation = fields.get("hidden_activation", fields.get("hidden_act", default))
    if not isinstance(activation, str) or activation not in architecture.activations:
        supported = " or ".join(sorted(architecture.activations))
        raise fields.error(
            f"hidden_act {activation!r} is not supported for {architecture.name}, only {supported}"
        )


def _biased(fields: ConfigFields, architecture: Architecture) -> frozenset[str]:
    if architecture.fixed_biases:
        return architecture.fixed_biases  # Transformers ignores the options, too
    modules = set(architecture.biased(fields))
    for option, prefix in (("attention_bias", "self_attn."), ("mlp_bias", "mlp.")):
        if fields.get(option):
            names = {name for name in architecture.layer_modules if name.startswith(prefix)}
            found = {name for name in names if name.endswith("_proj")}
            if not found <= architecture.biases:
                raise fields.error(f"{option} is not supported for {architecture.name}")
            modules |= found
    return frozenset(modules)


def _notes(fields: ConfigFields, name: str) -> tuple[str, ...]:
    # Qwen has a switch besides the window's size, Mistral and Phi have only the size. llama.cpp
    # applies Gemma's window.
    used = fields.get("use_sliding_window", name in _HAVE_WINDOWS)
    if not fields.get("sliding_window") or not used:
        return ()
    if (window := fields.size("sliding_window")) < fields.size("max_position_embeddings"):
        return (
            f"the sliding attention window of {window} tokens is not applied: beyond it "
            "answers differ from Transformers",
        )
    return ()


def _token_ids(folder: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """The ids of special tokens. A list counts as its first id; config.json takes precedence."""
    ids: dict[str, int] = {}
    path = folder / "generation_config.json"
    generation = read_json(path) if path.is_file() else {}
    for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        value = config.get(f"{kind}_token_id")
        if type(value) is not int:
            value = generation.get(f"{kind}_token_id")
            value = value[0] if isinstance(value, list) and value else value
        if type(value) is int and value >= 0:
            ids[kind] = value
    return ids
