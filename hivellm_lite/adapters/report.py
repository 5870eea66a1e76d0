"""What a conversion made of an adapter: the record that ``entry.json`` keeps beside the files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from .loss import AdapterLoss, loss_of

__all__ = [
    "AdapterReport",
    "Form",
    "LoraAdapterReport",
    "LowRankAdapterReport",
    "SoftPromptReport",
    "VariantAdapterReport",
    "report_from",
]

Form = Literal["lora", "low-rank", "variant", "soft-prompt"]
"""What an adapter was converted to."""


@dataclass(frozen=True)
class AdapterReport(ABC):
    """What every form reports. As a string it describes the form in words.

    ``methods`` are the PEFT methods of the adapter, such as ``("DoRA",)``. ``why`` says why
    this form was chosen. ``bytes`` is the adapter's size on disk. ``notes`` say what a user
    should know of the adapter itself.
    """

    form: ClassVar[Form]
    methods: tuple[str, ...]
    why: str
    bytes: int
    loss: AdapterLoss
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def as_dict(self) -> dict[str, object]:
        """The report as ``entry.json`` holds it and ``--json`` shows it."""
        facts = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"form": self.form, **facts, "loss": self.loss.as_dict()}

    @abstractmethod
    def __str__(self) -> str:
        """The form in words, such as ``a GGUF LoRA (rank 8, 12 tensors, exact)``."""


@dataclass(frozen=True)
class LoraAdapterReport(AdapterReport):
    """An adapter that is exactly low rank, as a GGUF LoRA.

    ``tensors`` counts A and B. ``ranks`` and ``scales`` are the distinct values. ``dropped``
    names copies of base weights in the adapter's file, which are not needed.
    """

    form: ClassVar[Form] = "lora"
    tensors: int
    ranks: tuple[int, ...]
    scales: tuple[float, ...]
    dropped: tuple[str, ...]
    error: float = 0.0

    def __str__(self) -> str:
        ranks = ", ".join(map(str, self.ranks))
        return f"a GGUF LoRA (rank {ranks}, {self.tensors // 2} tensors, exact)"


@dataclass(frozen=True)
class LowRankAdapterReport(AdapterReport):
    """An adapter that a GGUF LoRA approximates.

    ``extra_rank``: ranks beyond the adapter's own. ``error`` is relative to the weights,
    ``delta_error`` to their change. ``source`` says which weights were decomposed.
    """

    form: ClassVar[Form] = "low-rank"
    extra_rank: int
    error: float
    delta_error: float
    source: str

    def __str__(self) -> str:
        return f"a low-rank GGUF LoRA ({self.extra_rank} extra ranks, from {self.source})"


@dataclass(frozen=True)
class VariantAdapterReport(AdapterReport):
    """An adapter that was merged into the tensors that it changes.

    ``files`` were written, and ``merged`` tensors are in them. ``quantization`` is what the
    matrices are stored at, such as ``f16 and f32``; ``source`` says which weights were
    merged; ``n_tensors`` is the number of tensors of the whole model. ``delta_error`` is
    relative to the change of the weights.
    """

    form: ClassVar[Form] = "variant"
    files: tuple[str, ...]
    merged: int
    quantization: str
    source: str
    n_tensors: int
    delta_error: float

    def __str__(self) -> str:
        return (
            f"a variant ({self.merged} tensors merged from {self.source}, "
            f"stored at {self.quantization})"
        )


@dataclass(frozen=True)
class SoftPromptReport(AdapterReport):
    """A soft prompt: ``virtual_tokens`` rows of embeddings before the prompt."""

    form: ClassVar[Form] = "soft-prompt"
    virtual_tokens: int

    def __str__(self) -> str:
        return f"a soft prompt ({self.virtual_tokens} virtual tokens, exact)"


_KINDS: Mapping[str, type[AdapterReport]] = {
    kind.form: kind
    for kind in (LoraAdapterReport, LowRankAdapterReport, VariantAdapterReport, SoftPromptReport)
}


def report_from(facts: Mapping[str, Any]) -> AdapterReport:
    """The report in ``facts``, which `AdapterReport.as_dict` made and JSON may have carried."""
    kind = _KINDS[facts["form"]]
    values = {one.name: facts[one.name] for one in fields(kind) if one.name in facts}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return kind(**{**values, "loss": loss_of(facts)})
