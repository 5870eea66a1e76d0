"""Reads an adapter as PEFT saves it: what it does to which module.

Every tensor of the file is part of an update, a known harmless copy, or an
error: nothing is dropped silently. Covered are LoRA with all its options that
leave the base's weights in place, DoRA, IA³, LoHa, LoKr, trained biases and
modules saved whole.

Source: ``get_peft_model_state_dict`` and ``tuners/`` of PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConversionError
from ..safetensors import SafetensorsFile
from .config import AdapterConfig, read_adapter_config
from .methods import Values, build_updates
from .updates import Dora, Hadamard, Kronecker, LowRank, Replaced, Scaled, Update

__all__ = ["Adapter", "AdapterConfig", "AdapterTensor", "read_adapter", "read_adapter_config"]

MAX_NAME_LENGTH = 200
"""``base_model.model.model.layers.27.self_attn.q_proj.lora_A.default.weight`` has 69."""

MAX_NAME_PARTS = 40
"""Words between the dots of a name. The longest real name has eleven."""

_ADAPTER = r"(?:\.(?P<adapter>\w+))?"
_ROLES = tuple(
    re.compile(rf"(?P<module>[\w.]+?)\.{pattern}")
    for pattern in (
        rf"(?P<role>lora_[AB]){_ADAPTER}\.weight",
        rf"(?P<role>lora_embedding_[AB]){_ADAPTER}",
        r"(?P<role>lora_magnitude_vector)(?:\.(?P<adapter>(?!weight$)\w+))?(?:\.weight)?",
        rf"(?P<role>lora_B){_ADAPTER}\.(?P<bias>bias)",
        rf"(?P<role>ia3_l){_ADAPTER}",
        rf"(?P<role>hada_w[12]_[ab]){_ADAPTER}",
        rf"(?P<role>lokr_w[12](?:_[ab])?){_ADAPTER}",
        rf"modules_to_save{_ADAPTER}\.(?P<role>weight|bias)",
        r"base_layer\.(?P<role>bias)",
        r"(?P<role>weight|bias)",
    )
)
"""How a tensor's name says its module and its role, first hit first."""

_COPY = re.compile(r"(?P<module>(?:[\w.]+\.)?(?:embed_tokens|lm_head))\.base_layer\.weight")

_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")

_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|_fsdp_wrapped_module)\.)*(?:base_model\.model\.)?")
"""What PEFT, compilation and distributed training put before a module's own name."""

_OTHER_METHODS: Mapping[str, str] = {
    r"\.lora_E\b|\.ranknum\b": "AdaLoRA",
    r"\.lora_diag\b": "KaSA",
    r"\.hada_t[12]\b": "LoHa on convolutions",
    r"\.lokr_t2\b": "LoKr on convolutions",
    r"\.boft_": "BOFT",
    r"\.oft_": "OFT",
    r"\.vera_": "VeRA",
    r"trainable_tokens": "trainable tokens",
    r"prompt_embeddings|prompt_encoder": "prompt, prefix or P-tuning",
}
"""Tensor names by which an adapter betrays a method that is not covered, first hit first."""

_ANY_OTHER_METHOD = re.compile("|".join(_OTHER_METHODS))


@dataclass(frozen=True)
class AdapterTensor:
    """What happens to the tensor ``module`` + ``suffix`` (``.weight`` or ``.bias``).

    ``optional``: only if the base has that tensor.
    """

    module: str
    suffix: str
    update: Update
    optional: bool = False


@dataclass(frozen=True)
class Adapter:
    """A whole adapter.

    ``base_copies`` are modules of which the file repeats the base's weight, as
    PEFT does beside a LoRA on the embedding or head: (module, shape) pairs.
    """

    path: Path
    config: AdapterConfig
    tensors: tuple[AdapterTensor, ...]
    base_copies: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def is_lora(self) -> bool:
        """Whether every update is exactly low rank, as a GGUF LoRA can hold it."""
        return all(type(tensor.update) is LowRank for tensor in self.tensors)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods in it, such as ``("DoRA",)``."""
        return tuple(sorted({_method(tensor) for tensor in self.tensors}))


def _method(tensor: AdapterTensor) -> str:
    if isinstance(tensor.update, Replaced):
        return "trained biases" if tensor.suffix == ".bias" else "modules saved whole"
    names = {Dora: "DoRA", LowRank: "LoRA", Scaled: "IA³", Hadamard: "LoHa", Kronecker: "LoKr"}
    return names.get(type(tensor.update), "a bias on lora_B")


def read_adapter(
    weights: Path,
    config: Path | None = None,
    *,
    r: int | None = None,
    alpha: float | None = None,
    values: Values = "keep",
) -> Adapter:
    """Read ``adapter_model.safetensors`` and, if it exists, ``adapter_config.json``.

    ``r`` and ``alpha`` are used only without a config. ``values`` other than "keep" give
    an adapter without its numbers: "check" has read and checked them, "skip" only looked
    at the header, enough to see whether it fits a base. Raises ConversionError
    for a method that is not covered and for weights that cannot be used: half a
    pair, mismatched ranks, empty, NaN or infinite.
    """
    options = read_adapter_config(config, r=r, alpha=alpha)
    with SafetensorsFile(weights) as file:
        modules, copies = _sort_tensors(file)
        tensors = []
        for module in sorted(modules, key=_natural):
            updates = build_updates(file, options, module, modules[module], values)
            tensors += [AdapterTensor(module, *update) for update in updates]
        for module, name in copies.items():
            if module not in modules:
                raise ConversionError(
                    f"{file.path}: {name!r} stands beside no LoRA: what it is for is unknown"
                )
        base_copies = tuple((module, file.info(name).shape) for module, name in copies.items())
    if not tensors:
        raise ConversionError(f"{weights}: holds no LoRA tensors")
    return Adapter(Path(weights), options, tuple(tensors), base_copies)


def _sort_tensors(file: SafetensorsFile) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Tensor names by module and role, and names of copied base weights by module."""
    modules: dict[str, dict[str, str]] = {}
    copies: dict[str, str] = {}
    adapters: dict[str, str] = {}
    _refuse_other_methods(file)
    for name in file.tensors:
        if len(name) > MAX_NAME_LENGTH:
            raise ConversionError(
                f"{file.path}: the tensor name {name[:60]!r}… is longer than {MAX_NAME_LENGTH}"
            )
        if name.count(".") >= MAX_NAME_PARTS:
            raise ConversionError(
                f"{file.path}: the tensor name {name[:60]!r}… has more than {MAX_NAME_PARTS} parts"
            )
        if copy := _COPY.fullmatch(name):
            copies[_module_name(copy["module"])] = name
            continue
        match = next((m for pattern in _ROLES if (m := pattern.fullmatch(name))), None)
        if match is None:
            raise ConversionError(f"{file.path}: {name!r} is not a tensor of a PEFT adapter")
        groups = match.groupdict()
        if "adapter" in groups and not name.endswith(".bias"):
            adapters.setdefault(groups["adapter"] or "", name)
        role = groups["role"] + (".bias" if groups.get("bias") else "")
        roles = modules.setdefault(_module_name(match["module"]), {})
        if role in roles:
            raise ConversionError(f"{file.path}: {roles[role]!r} and {name!r} are the same tensor")
        roles[role] = name
    if len(adapters) > 1:
        first, second, *_ = adapters.values()
        raise ConversionError(
            f"{file.path}: tensors of several adapters in one file: {first!r} and {second!r}"
        )
    return modules, copies


def _refuse_other_methods(file: SafetensorsFile) -> None:
    """Any tensor of the file may be the one whose name betrays the method."""
    suspicious = [name for name in file.tensors if _ANY_OTHER_METHOD.search(name)]
    for pattern, method in _OTHER_METHODS.items():
        for name in suspicious:
            if re.search(pattern, name):
                raise ConversionError(f"{file.path}: {name!r}: {method}: not supported yet")


def _module_name(name: str) -> str:
    match = _WRAPPERS.match(name)
    return name[match.end() :] if match else name


def _natural(name: str) -> str:
    """Sort key that puts layer 2 before layer 10."""
    return _NUMBER.sub(lambda match: match[0].zfill(12), name)
