"""Builds the changes of the base from an adapter's tensors for one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from ....errors import ConversionError
from ...safetensors import SafetensorsFile
from ..config import AdapterConfig
from ..updates import Replaced
from .reader import BIAS, WEIGHT, Change, Reader, Shared, Values

__all__ = ["build_changes"]

_METHODS: Mapping[str, tuple[str, str]] = {
    "lora_": ("lora", "lora"),
    "ia3_": ("scaling", "ia3"),
    "hada_": ("lycoris", "loha"),
    "lokr_": ("lycoris", "lokr"),
    "vera_": ("projections", "vera"),
    "vblora_": ("projections", "vblora"),
    "randlora_": ("projections", "randlora"),
    "oft_": ("rotations", "oft"),
    "boft_": ("rotations", "boft"),
    "hra_": ("rotations", "hra"),
    "road_": ("rotations", "road"),
    "fourierft_": ("spectral", "fourierft"),
    "c3a_": ("spectral", "c3a"),
    "miss_": ("blocks", "miss"),
    "bone_": ("blocks", "miss"),
    "gralora_": ("blocks", "gralora"),
    "hira_": ("blocks", "hira"),
    "delora_": ("blocks", "delora"),
    "shira_": ("blocks", "shira"),
    "beft_": ("scaling", "beft"),
    "trainable_tokens_": ("tokens", "trainable_tokens"),
}
"""The method of each role, by the beginning of the role's name: a module here, and its function.
The module is imported at its first use, since most adapters need one."""


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
        place
        for prefix, place in _METHODS.items()
        if any(role.startswith(prefix) for role in roles)
    }
    if len(methods) > 1 or (methods and "weight" in roles):
        names = ", ".join(map(repr, roles.values()))
        raise ConversionError(f"{file.path}: {module} is adapted in several ways at once: {names}")
    for place in methods:
        yield from _function(*place, roles)(reader)
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


def _function(
    module: str, name: str, roles: Mapping[str, str]
) -> Callable[[Reader], Iterator[Change]]:
    if name == "lora":
        name = "adalora" if "lora_E" in roles else "mlx_lora" if "lora_a" in roles else "lora"
    found: Callable[[Reader], Iterator[Change]]
    found = getattr(import_module(f".{module}", __package__), name)
    return found
