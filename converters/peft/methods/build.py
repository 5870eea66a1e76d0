"""Builds the changes of the base from an adapter's tensors for one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ....errors import ConversionError
from ...safetensors import SafetensorsFile
from ..config import AdapterConfig
from ..updates import Replaced
from .blocks import delora, gralora, hira, miss, shira
from .lora import adalora, lora, mlx_lora
from .lycoris import loha, lokr
from .projections import randlora, vblora, vera
from .reader import BIAS, WEIGHT, Change, Reader, Shared, Values
from .rotations import boft, hra, oft, road
from .scaling import beft, ia3
from .spectral import c3a, fourierft
from .tokens import trainable_tokens

__all__ = ["build_changes"]

_METHODS: Mapping[str, Callable[[Reader], Iterator[Change]]] = {
    "lora_": lora,
    "ia3_": ia3,
    "hada_": loha,
    "lokr_": lokr,
    "vera_": vera,
    "vblora_": vblora,
    "randlora_": randlora,
    "oft_": oft,
    "boft_": boft,
    "hra_": hra,
    "road_": road,
    "fourierft_": fourierft,
    "c3a_": c3a,
    "miss_": miss,
    "bone_": miss,
    "gralora_": gralora,
    "hira_": hira,
    "delora_": delora,
    "shira_": shira,
    "beft_": beft,
    "trainable_tokens_": trainable_tokens,
}
"""The method of each role, by the beginning of the role's name."""


def build_changes(
    file: SafetensorsFile,
    config: AdapterConfig,
    module: str,
    roles: Mapping[str, str],
    shared: Shared,
    values: Values = "keep",
    *,
    trained_as: str = "",
) -> Iterator[Change]:
    """The change of each tensor of ``module``.

    ``roles`` maps roles such as ``lora_A`` to tensor names; ``trained_as`` is the module's name in
    the training, if that is another one. Raises ConversionError for tensors
    that do not belong together or cannot be used.
    """
    reader = Reader(file, config, module, roles, shared, values, trained_as)
    methods = {
        build: None
        for prefix, build in _METHODS.items()
        if any(role.startswith(prefix) for role in roles)
    }
    if len(methods) > 1 or (methods and "weight" in roles):
        names = ", ".join(map(repr, roles.values()))
        raise ConversionError(f"{file.path}: {module} is adapted in several ways at once: {names}")
    for build in methods:
        if build is lora:
            build = adalora if "lora_E" in roles else mlx_lora if "lora_a" in roles else lora
        yield from build(reader)
    for role, suffix, method in (
        ("weight", WEIGHT, "modules saved whole"),
        ("bias", BIAS, "trained biases"),
    ):
        if (name := reader.roles.pop(role, None)) is not None:
            info = file.info(name)
            if 0 in info.shape or not info.shape:
                raise ConversionError(f"{file.path}: {name!r} is empty (shape {list(info.shape)})")
            if config.options.get("peft_type") == "LN_TUNING":
                method = "LN tuning"
            yield Change(suffix, Replaced(file.path, name, info.shape), method)
    if reader.roles:
        role, name = next(iter(reader.roles.items()))
        raise ConversionError(f"{file.path}: {name!r} does not belong to the other tensors")
