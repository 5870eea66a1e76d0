"""What a package's adapter is, in a few words and numbers, read from its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from ..converters.soft_prompts import read_soft_prompt
from ..package.opening import Package
from .conversion import read_package_adapter
from .soft_prompt_conversion import own_soft_prompt

__all__ = ["AdapterDescription", "describe_adapter"]


@dataclass(frozen=True)
class AdapterDescription:
    """The adapter as its files have it, whatever the manifest says.

    ``methods`` are PEFT's, such as ``("DoRA",)``. ``targets`` are the distinct names of the
    adapted modules and ``ranks`` the distinct ranks, both sorted. ``virtual_tokens`` is None
    unless the adapter is a soft prompt.
    """

    methods: tuple[str, ...]
    is_low_rank: bool
    tensors: int
    targets: tuple[str, ...]
    ranks: tuple[int, ...]
    virtual_tokens: int | None = None

    def __str__(self) -> str:
        if self.virtual_tokens is not None:
            return f"{self.methods[0]}, {self.virtual_tokens} virtual tokens"
        ranks = ", ".join(map(str, self.ranks))
        return (
            f"{', '.join(self.methods)}{f', rank {ranks}' if ranks else ''}, "
            f"{self.tensors} tensors ({' '.join(self.targets)}), "
            f"{'exactly' if self.is_low_rank else 'not exactly'} low rank"
        )


def describe_adapter(package: Package) -> AdapterDescription:
    """Read the adapter and check every number of it; nothing is kept.

    Raises ConversionError for an adapter that cannot be used.
    """
    if (own := own_soft_prompt(package)) is not None:
        rows = read_soft_prompt(own.weights, own.config)
        return AdapterDescription((own.name,), False, 1, (), (), virtual_tokens=len(rows))
    adapter = read_package_adapter(package, values="check")
    tensors = adapter.tensors
    ranks = {rank for tensor in tensors if (rank := tensor.update.rank) is not None}
    return AdapterDescription(
        methods=tuple(adapter.methods),
        is_low_rank=adapter.is_lora,
        tensors=len(tensors),
        targets=tuple(sorted({tensor.module.rsplit(".", 1)[-1] for tensor in tensors})),
        ranks=tuple(sorted(ranks)),
    )
