"""Puts back the names of tensors that a wrapper around the model has changed.

Training tools save a model inside their own modules: ``torch.compile`` (``_orig_mod.``), data
parallelism (``module.``), PEFT (``base_model.model.`` and ``base_layer.``). Others save the bare
model without ``model.``, or as a part of a module of their own. The names are changed only where
one reading is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import ConversionError

__all__ = ["usual_names"]

_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of a name that only wrappers have, at any place."""

_ADAPTER = re.compile(
    r"(?:^|\.)(?:(?:lora|ia3|hada|lokr|oft|boft|vera|vblora|randlora|hra|bone|c3a|fourierft|shira"
    r"|waveft|ln_tuning|prompt_encoder)_\w+|trainable_tokens_\w+)(?:\.|$)"
)
"""Tensors of PEFT's methods."""

_EMBEDDING = "embed_tokens.weight"
_TEXT_PARTS = ("language_model.", "text_model.")


def usual_names(stored: Iterable[str], folder: Path) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The name in the file of each tensor, by the name that Transformers gives it, and notes.

    Raises ConversionError for a PEFT model whose adapters were not merged, and if two tensors
    get the same name.
    """
    names = {name: _unwrapped(name, folder) for name in stored}
    names = _without_common(names)
    names = _chosen_copies(names, folder)
    prefix = _prefix(names.values())
    if prefix is not None:
        # The head stands beside the model or in it.
        parents = ["", *(prefix[: i + 1] for i, letter in enumerate(prefix) if letter == ".")]
        heads = tuple(f"{parent}lm_head." for parent in parents)
        names = {at: _rebased(name, prefix, heads) for at, name in names.items()}
    usual: dict[str, str] = {}
    for at, name in names.items():
        if name in usual:
            raise ConversionError(
                f"{folder}: {usual[name]!r} and {at!r} are both the tensor {name!r}"
            )
        usual[name] = at
    changed = next(((at, name) for at, name in names.items() if at != name), None)
    if changed is None:
        return usual, ()
    return usual, (
        f"{changed[0]!r:.200} was read as {changed[1]!r:.200}, and other tensors likewise",
    )


def _unwrapped(name: str, folder: Path) -> str:
    if _ADAPTER.search(name):
        raise ConversionError(
            f"{folder} holds a PEFT model whose adapter was not merged: it has {name!r}\n"
            "Save it after merge_and_unload(), or give the adapter and its base separately."
        )
    if not any(wrapper in name for wrapper in _WRAPPERS):
        return name
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _without_common(names: Mapping[str, str]) -> dict[str, str]:
    """``names`` without the wrappers' prefixes that all of them have."""
    found = dict(names)
    while found:
        for prefix in ("module.", "base_model.model."):
            if all(name.startswith(prefix) for name in found.values()):
                found = {at: name.removeprefix(prefix) for at, name in found.items()}
                break
        else:
            break
    return found


def _chosen_copies(names: Mapping[str, str], folder: Path) -> dict[str, str]:
    """One tensor of the copies that PEFT keeps of a module it trains whole or adapts."""
    trained: dict[str, str] = {}
    chosen = {}
    for at, name in names.items():
        module, is_copy, rest = name.partition(".modules_to_save.")
        if is_copy:
            adapter, _, parameter = rest.partition(".")
            if trained.setdefault(module, adapter) != adapter:
                raise ConversionError(
                    f"{folder}: {module!r} was saved for the adapters {trained[module]!r} and "
                    f"{adapter!r}; which one is meant is not known"
                )
            chosen[at] = f"{module}.{parameter}"
        else:
            chosen[at] = name.replace(".base_layer.", ".")
    for at, name in names.items():
        module, is_original, parameter = name.partition(".original_module.")
        if is_original and module in trained:
            del chosen[at]
        elif is_original:
            chosen[at] = f"{module}.{parameter}"
    return chosen


def _prefix(names: Iterable[str]) -> str | None:
    """What stands before the model's modules, if that is not ``model.`` and there is one answer.

    The text model of a multimodal folder keeps its prefix.
    """
    names = set(names)
    found = [name.removesuffix(_EMBEDDING) for name in names if name.endswith(_EMBEDDING)]
    if len(found) != 1 or found[0] == "model." or any(part in found[0] for part in _TEXT_PARTS):
        return None
    prefix = found[0]
    if prefix and not prefix.endswith("."):
        return None
    layers = f"{prefix}layers.0."
    return prefix if any(name.startswith(layers) for name in names) else None


def _rebased(name: str, prefix: str, heads: tuple[str, ...]) -> str:
    """``name`` with ``model.`` for ``prefix``; one of ``heads`` is the head's."""
    if name.startswith(heads):
        return "lm_head." + name.rpartition("lm_head.")[2]
    return f"model.{name.removeprefix(prefix)}" if name.startswith(prefix) else name
