"""Fits an adapter to a base: the change of every tensor, or what does not fit.

One rule holds for every form of adapter: the architecture must have the module, the base must have
the layer, and the shapes must match. An adapter that replaces the whole vocabulary may bring
another number of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ...errors import ConversionError
from ..architectures import Architecture, architecture_of_gguf
from ..gguf.header import GGUFHeader
from ..peft.adapter import Adapter, AdapterTensor
from ..peft.updates import LowRank, Update
from .fused import OnRows, combined, part_rows, parts_of
from .targets import ENDS, Misfit, Target, find_parts, find_target

__all__ = ["find_targets"]

PROBLEMS_SHOWN = 8
"""Problems that an error lists. An adapter of another base has hundreds."""


def find_targets(
    adapter: Adapter, base: GGUFHeader, *, for_lora: bool = False
) -> list[tuple[Target, Update]]:
    """The change of every tensor of ``base`` that ``adapter`` changes, each tensor once.

    With ``for_lora``, updates that llama.cpp supports only in a variant are refused, too. Raises
    ConversionError, which lists the problems, if the adapter does not fit.
    """
    architecture = architecture_of_gguf(base.architecture)
    adapter = _on_resized_copies(adapter, architecture, base)
    found: dict[str, tuple[Target, list[Update]]] = {}
    misfits: list[Misfit] = []
    for tensor in adapter.tensors:
        for part in _places(tensor, architecture, base):
            misfit = part if isinstance(part, Misfit) else _misfit(tensor, *part)
            if misfit is None and for_lora and not isinstance(part, Misfit):
                misfit = _not_for_lora(tensor, part[0], architecture, base)
            if misfit is not None:
                misfits.append(misfit)
            elif not isinstance(part, Misfit):
                target, update = part
                target = _resized(target, update)
                found.setdefault(target.gguf_name, (target, []))[1].append(update)
    for copy in adapter.base_copies:
        copied = find_target(copy.module, ".weight", architecture, base)
        if isinstance(copied, Target) and copied.shape != copy.shape and copied.part is None:
            misfits.append(_wrong_shape(f"{copy.module}: the adapter's copy", copy.shape, copied))
    misfits += _vocabulary_misfits([target for target, _ in found.values()], base)
    if misfits:
        raise _does_not_fit(adapter, base, misfits)
    shapes = [target.shape for target, _ in found.values() if len(target.shape) == 2] or [(1, 1)]
    sizes = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    return [
        (target, combined([update.fitted(target.shape, sizes) for update in updates]))
        for target, updates in found.values()
    ]


def _places(
    tensor: AdapterTensor, architecture: Architecture, base: GGUFHeader
) -> Iterator[tuple[Target, Update] | Misfit]:
    """The tensors of ``base`` that an adapter's tensor changes, each with its part of the change.

    There are several if the base divides the module, and there is a part of one if the base has
    fused it with others.
    """
    module, suffix = tensor.module, tensor.suffix
    try:
        rows = part_rows(module, architecture, base)
    except ConversionError as error:
        yield Misfit(f"{module}: {error}")
        return
    if rows is not None:
        whole = find_target(rows[0], suffix, architecture, base)
        if isinstance(whole, Misfit):
            yield from [] if tensor.optional else [whole]
        elif whole.exists or not tensor.optional:
            yield whole, OnRows(tensor.update, rows[1], rows[2], whole.shape[0])
        return
    targets: list[Target] = []
    for part in parts_of(module, architecture) or (module,):
        found = find_parts(part, suffix, architecture, base)
        if isinstance(found, Misfit):
            yield from [] if tensor.optional else [found]
            return
        targets += found
    yield from _divided(tensor, [one for one in targets if one.exists or not tensor.optional])


def _divided(
    tensor: AdapterTensor, targets: list[Target]
) -> Iterator[tuple[Target, Update] | Misfit]:
    """The part of the change for each of ``targets``, which divide the rows of one module."""
    if len(targets) < 2:
        yield from [(target, tensor.update) for target in targets]
        return
    n_rows, start = sum(target.shape[0] for target in targets), 0
    if problem := tensor.update.problem((n_rows, *targets[0].shape[1:])):
        where = ", ".join(target.gguf_name for target in targets)
        yield Misfit(f"{tensor.module}: {problem} ({where})", sizes=True)
        return
    for target in targets:
        part = tensor.update.part(start, start + target.shape[0], n_rows)
        start += target.shape[0]
        if part is None:
            yield Misfit(
                f"{tensor.module}: {tensor.method} mixes outputs that the base has in several "
                "tensors"
            )
            return
        yield target, part


def _resized(target: Target, update: Update) -> Target:
    """The target with the adapter's number of rows, if it is a vocabulary that it replaces."""
    shape = update.shape
    if target.module not in ENDS or not update.replaces or shape is None or len(shape) != 2:
        return target
    if shape[1:] != target.shape[1:] or shape[0] == target.shape[0]:
        return target
    return replace(target, shape=shape, resized=True)


def _on_resized_copies(adapter: Adapter, architecture: Architecture, base: GGUFHeader) -> Adapter:
    """``adapter`` on those of its copies whose number of tokens is not the base's."""
    found = []
    for copy in adapter.base_copies:
        target = find_target(copy.module, ".weight", architecture, base)
        if isinstance(target, Target) and target.part is None:
            same_width = copy.shape[1:] == target.shape[1:]
            found += [copy] if same_width and copy.shape != target.shape else []
    return adapter.on_copies(tuple(found), tied="output.weight" not in base.tensors)


def _vocabulary_misfits(targets: list[Target], base: GGUFHeader) -> list[Misfit]:
    """What is missing if the adapter changes the number of tokens: it must do so everywhere."""
    resized = [target for target in targets if target.resized]
    if not resized:
        return []
    rows = {
        name: base.tensors[name].shape[0]
        for name in ("token_embd.weight", "output.weight")
        if name in base.tensors
    }
    rows |= {target.gguf_name: target.shape[0] for target in targets if target.module in ENDS}
    if len(rows) == 2 and len(set(rows.values())) == 1:
        return []
    where = ", ".join(f"{name} has {n}" for name, n in rows.items())
    if len(rows) == 1:
        where += " and is the base's head, too, which does not come with it"
    return [
        Misfit(
            f"the adapter has a vocabulary of {resized[0].shape[0]} tokens for one end of the "
            f"model only: {where}"
        )
    ]


def _misfit(tensor: AdapterTensor, target: Target, update: Update) -> Misfit | None:
    """The reason why the update cannot apply to its target; None if it can."""
    name, target = tensor.module, _resized(target, update)
    if isinstance(update, LowRank) and update.is_embedding != (target.module == "embed_tokens"):
        return Misfit(f"{name}: an embedding's LoRA on another module, or the other way round")
    if problem := update.problem(target.shape):
        if update.shape not in (None, target.shape):
            return _wrong_shape(f"{name}: the adapter's weight", update.shape, target)
        sizes = target.module not in ENDS
        return Misfit(f"{name}: {problem} ({target.gguf_name})", sizes=sizes)
    return None


def _wrong_shape(what: str, shape: tuple[int, ...], target: Target) -> Misfit:
    text = f"{what} has shape {list(shape)}, {target.gguf_name} has {list(target.shape)}"
    if target.module in ENDS and shape[1:] == target.shape[1:]:
        return Misfit(
            f"{text}: it has a vocabulary of {shape[0]} tokens, the base one of {target.shape[0]}"
        )
    return Misfit(text, sizes=True)


def _does_not_fit(adapter: Adapter, base: GGUFHeader, misfits: list[Misfit]) -> ConversionError:
    more = ["…"] if len(misfits) > PROBLEMS_SHOWN else []
    first, *others = [misfit.text for misfit in misfits[:PROBLEMS_SHOWN]] + more
    if any(misfit.sizes for misfit in misfits):
        others.append("It was trained for another base: one with other sizes.")
    elif any("vocabulary" in misfit.text for misfit in misfits):
        others.append(
            "Tokens were added or removed before the training. Merge it with PEFT and use the "
            "result as base."
        )
    return ConversionError(
        "\n".join([f"{adapter.path} does not fit {base.path.name}: {first}", *others])
    )


def _not_for_lora(
    tensor: AdapterTensor, target: Target, architecture: Architecture, base: GGUFHeader
) -> Misfit | None:
    tied = f"{architecture.global_modules['lm_head']}.weight" not in base.tensors
    if target.module == "lm_head" and tied:
        return Misfit(
            f"{tensor.module}: the base's head is tied to its embedding, which llama.cpp "
            "cannot adapt separately with a LoRA"
        )
    if target.module == "embed_tokens" and tied:
        # llama.cpp finds adapters by tensor name. It would also apply this one to the head,
        # transposed, and fail an assertion that ends the process.
        return Misfit(
            f"{tensor.module}: the base's embedding is also its head, which llama.cpp "
            "cannot adapt separately with a LoRA"
        )
    if len(target.shape) < 2:
        return Misfit(
            f"{tensor.module}: {target.gguf_name} is a vector, which a LoRA cannot change"
        )
    if target.module in architecture.no_lora:
        return Misfit(f"{tensor.module}: llama.cpp ignores a LoRA on {target.gguf_name}")
    if _resized(target, tensor.update).resized:
        return Misfit(f"{tensor.module}: a LoRA cannot change the size of the vocabulary")
    rank = tensor.update.rank or 0
    if not isinstance(tensor.update, LowRank) and rank * sum(target.shape) > math.prod(
        target.shape
    ):
        return Misfit(
            f"{tensor.module}: a LoRA of rank {rank} is larger than {target.gguf_name} itself"
        )
    return None
