"""Reads an adapter that PEFT saved: the changes that it makes to each module.

No tensor of the file is dropped silently: each is part of an update, a copy of a base's weight,
ignored for a reason that is recorded, or an error. `methods` has what each method computes.

Source: ``get_peft_model_state_dict`` and ``tuners/`` of PEFT 0.21.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import ConversionError
from ..safetensors import SafetensorsFile
from .config import AdapterConfig, read_adapter_config
from .methods.build import build_changes
from .methods.reader import Shared, Values
from .names import NOT_FOR_TEXT, sort_names
from .updates import Chained, Replaced, Update

__all__ = ["Adapter", "AdapterConfig", "AdapterTensor", "BaseCopy", "read_adapter"]
__all__ += ["read_adapter_config"]

_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")


@dataclass(frozen=True)
class AdapterTensor:
    """The update of the tensor ``module`` + ``suffix``, which is ``.weight`` or ``.bias``.

    ``method`` names what made the update, such as "DoRA". An ``optional`` update applies only if
    the base has this tensor.
    """

    module: str
    suffix: str
    update: Update
    method: str = "LoRA"
    optional: bool = False


class BaseCopy(NamedTuple):
    """The weight of the base's ``module`` that the file repeats, as its tensor ``name``.

    PEFT writes such copies beside a LoRA on the embedding or the head, and loads them: where the
    training had changed the weight, the copy is what the adapter belongs to.
    """

    module: str
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Adapter:
    """A whole adapter.

    ``base_copies`` are the base's weights that the file repeats. ``ignored`` are the tensors
    that do nothing for text, each with the reason.
    """

    path: Path
    config: AdapterConfig
    tensors: tuple[AdapterTensor, ...]
    base_copies: tuple[BaseCopy, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()

    @property
    def is_lora(self) -> bool:
        """Whether every update is exactly low rank, so that a GGUF LoRA can hold it."""
        return all(tensor.update.is_low_rank for tensor in self.tensors)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of its methods, such as ``("DoRA",)``."""
        return tuple(sorted({tensor.method for tensor in self.tensors}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of it: that it changes nothing, or is partly not for text."""
        found = []
        if all(tensor.update.is_neutral for tensor in self.tensors):
            found.append(
                "the adapter changes nothing: its factors are as they were before any training"
            )
        names = [name for name, reason in self.ignored if reason == NOT_FOR_TEXT]
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            found.append(f"{names[0]}{others} of the adapter {NOT_FOR_TEXT}")
        return tuple(found)

    def on_copies(self, copies: tuple[BaseCopy, ...], *, tied: bool) -> Adapter:
        """The adapter on the weights in ``copies``, some of its own, instead of the base's.

        The others are taken to be equal to the base's weights. On a ``tied`` base, whose head is
        its embedding, a copy of one is a copy of both.
        """
        if not copies:
            return self
        found = {copy.module: Replaced(self.path, copy.name, copy.shape) for copy in copies}
        if tied and found:
            ends = ("model.embed_tokens", "lm_head")
            found = {**dict.fromkeys(ends, next(iter(found.values()))), **found}
        tensors = []
        for tensor in self.tensors:
            update = tensor.update
            if tensor.suffix == ".weight" and (first := found.pop(tensor.module, None)):
                update = Chained(first, update)
            tensors.append(replace(tensor, update=update))
        tensors += [
            AdapterTensor(module, ".weight", update, "modules saved whole")
            for module, update in found.items()
        ]
        others = tuple(copy for copy in self.base_copies if copy not in copies)
        return replace(self, tensors=tuple(tensors), base_copies=others)


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
        names = sort_names(file.tensors, file.path)
        shared = Shared(names.shared)
        tensors = []
        for module in sorted(names.modules, key=_natural):
            roles = names.modules[module]
            trained_as = names.trained[module]
            changes = build_changes(
                file, options, module, roles, shared, values, trained_as=trained_as
            )
            with np.errstate(over="ignore", invalid="ignore"):  # what is written is checked
                tensors += [
                    AdapterTensor(module, one.suffix, one.update, one.method, one.optional)
                    for one in changes
                ]
        for module, name in names.copies.items():
            if module not in names.modules:
                raise ConversionError(
                    f"{file.path}: {name!r} has no LoRA beside it, so its purpose is unknown"
                )
        copies = tuple(
            BaseCopy(module, name, file.info(name).shape) for module, name in names.copies.items()
        )
    if not tensors:
        raise ConversionError(f"{weights}: holds no LoRA tensors")
    return Adapter(Path(weights), options, tuple(tensors), copies, tuple(names.ignored.items()))


def _natural(name: str) -> str:
    """A sort key that puts layer 2 before layer 10."""
    return _NUMBER.sub(lambda match: match[0].zfill(12), name)
