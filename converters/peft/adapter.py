"""Reads an adapter that PEFT saved: the changes that it makes to each module.

No tensor of the file is dropped silently: each is part of an update, a known harmless copy, or an
error. The reader covers LoRA with all options that leave the base's weights in place, DoRA, IA³,
LoHa, LoKr, trained biases and modules saved whole.

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
"""Parts between the dots of a name. The longest real name has eleven."""

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
"""Patterns that find module and role in a tensor's name. The first that matches counts."""

_COPY = re.compile(r"(?P<module>(?:[\w.]+\.)?(?:embed_tokens|lm_head))\.base_layer\.weight")

_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")

_WRAPPERS = re.compile(r"(?:(?:module|_orig_mod|_fsdp_wrapped_module)\.)*(?:base_model\.model\.)?")
"""The prefixes that PEFT, compilation and distributed training put before a module's name."""

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
"""Methods that are not covered, by the tensor names that reveal them. The first match counts."""

_ANY_OTHER_METHOD = re.compile("|".join(_OTHER_METHODS))


@dataclass(frozen=True)
class AdapterTensor:
    """The update of the tensor ``module`` + ``suffix``, which is ``.weight`` or ``.bias``.

    An ``optional`` update applies only if the base has this tensor.
    """

    module: str
    suffix: str
    update: Update
    optional: bool = False


@dataclass(frozen=True)
class Adapter:
    """A whole adapter.

    ``base_copies`` are (module, shape) pairs: the modules whose base weight the file repeats.
    PEFT writes such copies beside a LoRA on the embedding or the head.
    """

    path: Path
    config: AdapterConfig
    tensors: tuple[AdapterTensor, ...]
    base_copies: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def is_lora(self) -> bool:
        """Whether every update is exactly low rank, so that a GGUF LoRA can hold it."""
        return all(type(tensor.update) is LowRank for tensor in self.tensors)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of its methods, such as ``("DoRA",)``."""
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

    ``r`` and ``alpha`` count only without a config. ``values`` says what happens to the numbers:
    "keep" returns them, "check" reads and checks them, "skip" reads only the header, which is
    enough to see whether the adapter fits a base.

    Raises ConversionError for a method that is not covered, and for unusable weights: half a
    pair, mismatched ranks, empty tensors, NaN or infinity.
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
                    f"{file.path}: {name!r} has no LoRA beside it, so its purpose is unknown"
                )
        base_copies = tuple((module, file.info(name).shape) for module, name in copies.items())
    if not tensors:
        raise ConversionError(f"{weights}: holds no LoRA tensors")
    return Adapter(Path(weights), options, tuple(tensors), base_copies)


def _sort_tensors(file: SafetensorsFile) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The names of tensors by module and role, and the names of copied base weights by module."""
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
    """Raise ConversionError if the name of any tensor reveals a method that is not covered."""
    suspicious = [name for name in file.tensors if _ANY_OTHER_METHOD.search(name)]
    for pattern, method in _OTHER_METHODS.items():
        for name in suspicious:
            if re.search(pattern, name):
                raise ConversionError(f"{file.path}: {name!r}: {method}: not supported yet")


def _module_name(name: str) -> str:
    match = _WRAPPERS.match(name)
    return name[match.end() :] if match else name


def _natural(name: str) -> str:
    """A sort key that puts layer 2 before layer 10."""
    return _NUMBER.sub(lambda match: match[0].zfill(12), name)
