"""Reads the names of an adapter's tensors: the module, and the role that the tensor has in it.

Trainers put the same module under many names. Wrappers of distributed training and compilation
add parts anywhere, PEFT adds its prefix once or several times, and the text model of a
multimodal model lies one level deeper. All of them lead to the name that Transformers gives the
module of a text model, such as ``model.layers.0.self_attn.q_proj``.

Source: ``get_peft_model_state_dict`` and ``tuners/`` of PEFT 0.21; ``tuner/lora.py`` and
``tuner/dora.py`` of mlx-lm 0.28.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConversionError

__all__ = ["NOT_FOR_TEXT", "SortedNames", "module_name", "sort_names"]

MAX_NAME_LENGTH = 200
"""``base_model.model.model.layers.27.self_attn.q_proj.lora_A.default.weight`` has 69."""

MAX_NAME_PARTS = 40
"""Parts between the dots of a name. The longest real name has eleven."""

_WEIGHTS = (
    "lora_A",
    "lora_B",
    "oft_R",
    "oft_embedding_R",
    "gralora_A_general",
    "gralora_B_general",
)
_PARAMETERS = (
    *("lora_A", "lora_B", "lora_E", "lora_embedding_A", "lora_embedding_B", "ia3_l"),
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
    *("vera_lambda_b", "vera_lambda_d", "boft_R", "boft_s", "hra_u", "road_theta", "road_alpha"),
    *("vblora_logits_A", "vblora_logits_A_topk_indices", "vblora_logits_A_topk_weights"),
    *("vblora_logits_B", "vblora_logits_B_topk_indices", "vblora_logits_B_topk_weights"),
    *("randlora_lambda", "randlora_gamma", "randlora_A", "randlora_B", "fourierft_spectrum"),
    *("c3a_kernel", "miss_block", "bone_block", "gralora_A", "gralora_B", "hira_A", "hira_B"),
    *("delora_A", "delora_B", "delora_lambda", "delora_w_norm", "shira_weight", "shira_indices"),
    *("beft_bias", "trainable_tokens_delta", "lora_magnitude_vector"),
    *("lora_a", "lora_b", "m"),  # mlx-lm
)
_ENDINGS = {
    **dict.fromkeys(_PARAMETERS, ((),)),
    **dict.fromkeys(_WEIGHTS, (("weight",),)),
    # AdaLoRA's A and B are parameters, LoRA's are layers; both magnitudes were written.
    **dict.fromkeys(("lora_A", "lora_B", "lora_magnitude_vector"), (("weight",), ())),
}
"""What may follow each role in a tensor's name, after the adapter's own name."""

_SHARED = ("vera_A", "vera_B", "randlora_A", "randlora_B", "vblora_vector_bank")
"""Tensors that a file holds once for all modules."""

_INNER = frozenset({"modules_to_save", "original_module", "base_layer", "ln_tuning_layers"})
"""Parts that PEFT puts behind a module's name, before the module's own weight or bias."""

_BEHIND = frozenset({*_ENDINGS, *_SHARED, *_INNER, "token_adapter", "default"} - {"m"})
"""Parts that come behind a module's name."""

_TOPK = re.compile(r"(?:(?P<adapter>\w+?))?(?P<part>_topk_(?:indices|weights))")
_SAFE = re.compile(r"[\w.]+")
_IN_LAYER = re.compile(r"(?:^|\.)[0-9]+\.")

_WRAPPERS = frozenset(
    {
        *("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"),
        *("default", "token_adapter"),
    }
)
"""Parts that distributed training, compilation, checkpointing and PEFT put between others."""

_TEXT_PARTS = frozenset({"language_model", "text_model", "thinker", "llm"})
"""Parts under which multimodal models keep their text model."""

_OTHER_PARTS = frozenset(
    {
        *("vision_tower", "vision_model", "vision_encoder", "vision_embed_tokens", "visual"),
        *("multi_modal_projector", "mm_projector", "connector", "image_newline", "embed_vision"),
        *("audio_tower", "audio_model", "audio_encoder", "audio_projector", "embed_audio"),
        *("talker", "code2wav", "token2wav", "img_processor", "patch_merger", "aligner"),
    }
)
"""Parts of multimodal models that text never passes through."""

NOT_FOR_TEXT = "belongs to a part of the model that text does not pass through"
"""The reason why a tensor is ignored that a user should know."""

_OTHER_METHODS: Mapping[str, str] = {
    r"\.lora_diag\b": "KaSA",
    r"\.hada_t[12]\b": "LoHa on convolutions",
    r"\.lokr_t2\b": "LoKr on convolutions",
    r"\.oft_[rs]\b": "OFT of a PEFT before 0.14",
    r"prompt_embeddings|prompt_encoder": "prompt, prefix or P-tuning",
}
"""Methods that are not covered, by the tensor names that reveal them. The first match counts."""

_ANY_OTHER_METHOD = re.compile("|".join(_OTHER_METHODS))


@dataclass
class SortedNames:
    """The names of an adapter's tensors by what they are.

    ``modules`` holds them by module and role, ``copies`` the copies of base weights by module,
    ``shared`` the tensors that all modules share by role. ``trained`` gives the name that a module
    had in the training, which patterns of a config mean. ``ignored`` are the tensors that do
    nothing for text, with the reason.
    """

    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


def module_name(name: str) -> str:
    """The name that Transformers gives this module in a text model."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    while parts[:2] == ["base_model", "model"]:
        del parts[:2]
    if _TEXT_PARTS.intersection(parts):
        parts = [part for part in parts if part not in _TEXT_PARTS]
        if parts[-1:] == ["lm_head"]:
            return "lm_head"
    while parts[:2] == ["model", "model"]:
        del parts[0]
    return ".".join(parts)


def sort_names(names: Iterable[str], path: Path) -> SortedNames:
    """Sort the tensors' ``names`` of the file ``path``.

    Raises ConversionError for a name that no method has, for two names of one tensor, and for
    tensors of several adapters.
    """
    names = list(names)
    _refuse_other_methods(names, path)
    found = SortedNames()
    saved: dict[tuple[str, str], str] = {}
    adapters: dict[str, str] = {}
    for name in names:
        if len(name) > MAX_NAME_LENGTH:
            raise ConversionError(
                f"{path}: the tensor name {name[:60]!r}… is longer than {MAX_NAME_LENGTH}"
            )
        if name.count(".") >= MAX_NAME_PARTS:
            raise ConversionError(
                f"{path}: the tensor name {name[:60]!r}… has more than {MAX_NAME_PARTS} parts"
            )
        parts = name.split(".")
        if _OTHER_PARTS.intersection(parts):
            found.ignored[name] = NOT_FOR_TEXT
            continue
        place = _place(parts) if _SAFE.fullmatch(name) else None
        if place is None:
            raise ConversionError(f"{path}: {name!r} is not a tensor of a PEFT adapter")
        module, role, adapter = place
        found.trained.setdefault(module, _trained_name(parts))
        if adapter is not None:
            adapters.setdefault(adapter, name)
        if role == "original":
            found.ignored[name] = "is the module's weight before training, which PEFT does not use"
        elif role == "copy":
            found.copies[module] = name
        elif role.startswith("saved."):
            _once(saved, (module, role.removeprefix("saved.")), name, path)
        elif role in _SHARED and not _IN_LAYER.search(name):
            _once(found.shared, role, name, path)
        else:
            _once(found.modules.setdefault(module, {}), role, name, path)
    for (module, role), name in saved.items():
        # PEFT saves a module under its plain name. Where both are there, it loads that one.
        if role in found.modules.setdefault(module, {}):
            found.ignored[name] = "is there a second time under the module's own name, which counts"
        else:
            found.modules[module][role] = name
    if len(adapters) > 1:
        first, second, *_ = adapters.values()
        raise ConversionError(
            f"{path}: tensors of several adapters in one file: {first!r} and {second!r}"
        )
    return found


def _trained_name(parts: list[str]) -> str:
    """The name of a tensor's module in the training: without PEFT's prefix and what follows it."""
    end = next((index for index, part in enumerate(parts) if part in _BEHIND), len(parts) - 1)
    kept = parts[:end]
    while kept[:2] == ["base_model", "model"]:
        del kept[:2]
    return ".".join(kept)


def _place(parts: list[str]) -> tuple[str, str, str | None] | None:
    """Module, role and adapter of a tensor; None if the name is none of an adapter's.

    The adapter is None for a tensor that carries no adapter's name in any version of PEFT.
    """
    for index in range(len(parts) - 1, -1, -1):
        part, tail = parts[index], parts[index + 1 :]
        if part in _ENDINGS or part in _SHARED or part in _INNER:
            if part == "m" and tail:
                continue
            module = module_name(".".join(parts[:index]))
            if not module and part not in _SHARED:
                return None
            return (_behind if part in _INNER else _parameter)(module, part, tail)
    module = module_name(".".join(parts[:-1]))
    return (module, parts[-1], None) if parts[-1] in ("weight", "bias") and module else None


def _parameter(module: str, role: str, tail: list[str]) -> tuple[str, str, str | None] | None:
    """The place of a tensor of a method, by what follows its role."""
    if role == "lora_B" and tail[-1:] == ["bias"] and len(tail) < 3:
        return module, "lora_B.bias", None
    if len(tail) == 1 and (topk := _TOPK.fullmatch(tail[0])):
        return module, role + topk["part"], topk["adapter"] or ""
    for ending in _ENDINGS.get(role, ((),)):
        adapter = tail[: len(tail) - len(ending)]
        if tuple(tail[len(adapter) :]) == ending and len(adapter) < 2:
            return module, role, "".join(adapter)
    return None


def _behind(module: str, part: str, tail: list[str]) -> tuple[str, str, str | None] | None:
    """The place of a weight or bias that PEFT put behind ``part`` of its module."""
    if tail[-1:] not in (["weight"], ["bias"]):
        return None
    last = tail[-1]
    if part in ("modules_to_save", "ln_tuning_layers") and len(tail) < 3:
        role = last if part == "ln_tuning_layers" else f"saved.{last}"
        return module, role, "".join(tail[:-1])
    if len(tail) > 1:
        return None
    if part == "original_module":
        return module, "original", None
    if last == "bias":
        return module, "bias", None
    is_end = module.rsplit(".", 1)[-1] in ("embed_tokens", "lm_head")
    return (module, "copy", None) if is_end else None


def _once(names: dict, key: object, name: str, path: Path) -> None:  # type: ignore[type-arg]
    if key in names:
        raise ConversionError(f"{path}: {names[key]!r} and {name!r} are the same tensor")
    names[key] = name


def _refuse_other_methods(names: list[str], path: Path) -> None:
    """Raise ConversionError if the name of any tensor reveals a method that is not covered."""
    suspicious = [name for name in names if _ANY_OTHER_METHOD.search(name)]
    for pattern, method in _OTHER_METHODS.items():
        for name in suspicious:
            if re.search(pattern, name):
                raise ConversionError(f"{path}: {name!r}: {method}: not supported yet")
