"""Chooses and writes the form of an adapter that is not a plain LoRA on its base.

A form is sound if it loses no more than `ALLOWED` of the adapter's own effect. The loss is
measured in weights, for each tensor and over all tensors, and then in answers. The cheapest
sound form is taken:

1. the low-rank form, with as few extra ranks as possible, if it is smaller than a variant;
2. a variant, each tensor stored at the smallest type that keeps the tensor's change; if the
   answers then still lose too much, the whole variant in float32, which loses nothing.

A form that the caller asks for is made whatever it loses, and its loss is recorded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ..bases.parts import base_parts
from ..cache.store import Cache
from ..converters.forms.change_loss import BOUND, TENSOR_BOUND, ChangeLoss
from ..converters.forms.fitting import find_targets
from ..converters.forms.low_rank import (
    EXTRA_RANKS,
    LowRankAdapter,
    measure_low_rank,
    write_low_rank,
)
from ..converters.forms.storage_types import TypePlan, allowed_types, plan_types, stored_bytes
from ..converters.forms.targets import Target
from ..converters.forms.variant import VariantReport, convert_variant
from ..converters.forms.variant_files import loading_order
from ..converters.forms.weights import GGUFWeights, WeightSource, checkpoint_weights, gguf_weights
from ..converters.gguf.header import GGUFHeader
from ..converters.peft.adapter import Adapter
from ..converters.peft.updates import Update
from ..converters.quantization import tensor_type
from ..errors import ConversionError, OutOfMemoryError
from ..package.opening import Package
from ..progress import Progress
from .comparison import Comparison, Meant
from .loss import ALLOWED, AdapterLoss, Divergence, percent
from .measurement import ModelFiles, Places
from .options import AdapterOptions
from .plain_lora import lora_obstacle
from .report import AdapterReport, LowRankAdapterReport, VariantAdapterReport
from .texts import texts_of
from .vocabulary import vocabulary_for

__all__ = ["FormBuilder"]

COMPARING = "Writing what is compared with"
"""Label for the progress of writing references."""


@dataclass
class FormBuilder:
    """Makes one form of ``adapter`` on the base of ``header``.

    ``float_folder`` is the base's Hugging Face folder, if it is at hand. ``updates`` are the
    changed tensors, and ``obstacle`` says why the form cannot be low rank (empty if it can).

    Creating a builder raises ConversionError for a form that is impossible or for an adapter
    of another base.
    """

    package: Package
    adapter: Adapter
    header: GGUFHeader
    cache: Cache
    options: AdapterOptions
    float_folder: Path | None
    progress: Progress | None
    updates: list[tuple[Target, Update]] = field(init=False)
    obstacle: str = field(init=False)

    def __post_init__(self) -> None:
        """Find the changed tensors, and whether the change can be low rank."""
        self.updates = find_targets(self.adapter, self.header)
        self.obstacle = lora_obstacle(self.adapter, self.header)
        if self.options.mode == "lora" and self.obstacle:
            raise ConversionError(f"adapter_mode='lora' is not possible: {self.obstacle}")

    def build(self, folder: Path) -> AdapterReport:
        """Write the form into ``folder``; returns the report that ``entry.json`` keeps.

        Raises ConversionError and OutOfMemoryError.
        """
        origin, texts = texts_of(self.package)
        places = Places(self.package, texts, origin)
        try:
            with gguf_weights(self.header.path) as base, self._source() as source:
                meant = Meant(self.updates, base, source, self.base_parts)
                with Comparison(meant, places, folder, self.labelled(COMPARING)) as comparison:
                    return _Form(self, folder, base, source, comparison).choose()
        except MemoryError:
            raise OutOfMemoryError(
                f"not enough memory to convert {self.package.manifest.identity}: "
                "the largest adapted tensor does not fit several times in float32"
            ) from None

    def _source(self) -> AbstractContextManager[WeightSource]:
        if self.float_folder is not None:
            return checkpoint_weights(self.float_folder)
        return gguf_weights(self.header.path)

    def base_parts(self) -> list[Path]:
        """The base's parts in loading order; a variant shares them."""
        return base_parts(self.header.path, self.cache, self.progress)

    def labelled(self, label: str) -> Callable[[int, int], None] | None:
        """The caller's ``progress`` under a label for one step of the work."""
        progress = self.progress
        return None if progress is None else lambda done, total: progress(label, done, total)


@dataclass
class _Form:
    """One run of a `FormBuilder`, while the weights are open."""

    builder: FormBuilder
    folder: Path
    base: GGUFWeights
    source: WeightSource
    comparison: Comparison

    @property
    def _options(self) -> AdapterOptions:
        return self.builder.options

    def choose(self) -> AdapterReport:
        if self._options.mode == "exact":
            return self._variant("adapter_mode='exact'")
        if self.builder.obstacle:
            return self._variant(self.builder.obstacle)
        low_rank = self._low_rank()
        self.comparison.close()
        return self._variant(low_rank) if isinstance(low_rank, str) else low_rank

    # --- low rank --------------------------------------------------------------------

    def _low_rank(self) -> LowRankAdapterReport | str:
        """The report of the cheapest sound low-rank form, or why there is none."""
        gated = self._options.mode == "auto" and self._options.extra_rank is None
        out = self.folder / "adapter.gguf"
        why_not = ""
        for measured, rank in self._candidates(gated):
            if rank is None:
                return why_not or _too_lossy(measured)
            write_low_rank(measured, rank, self.builder.header, out)
            missing = measured.loss(rank)
            loss = _recorded(missing, *self.comparison.of_lora(out, missing))
            found = loss.divergence
            if gated and found is not None and not found.is_allowed:
                why_not = (
                    f"the low-rank form with {rank} extra ranks would lose {percent(found.share)} "
                    f"of the adapter's effect on answers; {percent(ALLOWED)} are allowed"
                )
                out.unlink()
                continue
            return LowRankAdapterReport(
                methods=self.builder.adapter.methods,
                why=f"the low-rank form loses {loss}" if gated else "it was asked for",
                bytes=out.stat().st_size,
                loss=loss,
                extra_rank=rank,
                error=measured.error(rank),
                delta_error=math.sqrt(loss.weights),
                source=measured.source,
            )
        raise AssertionError("the candidates end with one that has no rank")

    def _candidates(self, gated: bool) -> Iterator[tuple[LowRankAdapter, int | None]]:
        """Forms with their extra ranks, cheapest first.

        If all forms may be refused, the last form has the rank None: it shows why none is good
        enough. A form without extra ranks is measured alone first, because decomposing the
        weights takes most of the time.
        """

        def measure(max_extra_rank: int) -> LowRankAdapter:
            return measure_low_rank(
                self.builder.updates,
                self.source,
                max_extra_rank=max_extra_rank,
                may_give_up=gated,
                progress=self.builder.labelled("Measuring the adapter"),
            )

        if self._options.extra_rank is not None:
            yield measure(self._options.extra_rank), self._options.extra_rank
            return
        limit = self._variant_bytes_at_least() if gated else math.inf
        plain = measure_low_rank(
            self.builder.updates,
            self.source,
            max_extra_rank=0,
            progress=self.builder.labelled("Measuring the adapter"),
        )
        if 0 in plain.ranks_within_bound(limit):
            yield plain, 0
        full = measure(EXTRA_RANKS[-1])
        for rank in full.ranks_within_bound(limit):
            if rank:
                yield full, rank
        yield full, None if gated else EXTRA_RANKS[-1]

    def _variant_bytes_at_least(self) -> float:
        """Bytes of the merged tensors at the smallest type that a variant may have."""
        smallest, *_ = allowed_types(self.source, self.base, None)
        shapes = {target.gguf_name: target.shape for target, _ in self.builder.updates}
        return sum(stored_bytes(shape, tensor_type(smallest, shape)) for shape in shapes.values())

    # --- variant ---------------------------------------------------------------------

    def _variant(self, why: str) -> VariantAdapterReport:
        wanted = self._options.variant_type
        allowed = allowed_types(self.source, self.base, wanted, force=self._options.force)
        plan = self._planned(allowed)
        written = self._write_variant(plan)
        divergence, reason = self._divergence(plan, written.n_tensors)
        if wanted is None and divergence is not None and not divergence.is_allowed:
            plan = plan_types(self.builder.updates, self.source, ("f32",))
            written = self._write_variant(plan)
            divergence = dataclasses.replace(divergence, served=0.0)
        loss = _recorded(plan.loss, divergence, reason)
        return VariantAdapterReport(
            methods=self.builder.adapter.methods,
            why=why,
            bytes=written.bytes,
            loss=loss,
            files=written.files,
            merged=written.merged,
            quantization=written.quantization,
            source=written.source,
            n_tensors=written.n_tensors,
            delta_error=math.sqrt(loss.weights),
        )

    def _planned(self, allowed: tuple[str, ...]) -> TypePlan:
        report = self.builder.labelled("Measuring the variant")
        return plan_types(self.builder.updates, self.source, allowed, progress=report)

    def _write_variant(self, plan: TypePlan) -> VariantReport:
        return convert_variant(
            self.builder.updates,
            self.builder.header,
            [part.name for part in self.builder.base_parts()],
            self.source,
            self.folder,
            quantization=plan.types,
            vocabulary=vocabulary_for(self.builder.package, self.builder.header),
            progress=self.builder.labelled("Merging the variant"),
        )

    def _divergence(self, plan: TypePlan, n_tensors: int) -> tuple[Divergence | None, str]:
        if plan.is_exact:
            return None, "float32 loses nothing"
        files = loading_order(self.builder.base_parts(), self.folder)
        return self.comparison.of_model(ModelFiles(files, n_tensors))


def _recorded(loss: ChangeLoss, divergence: Divergence | None, reason: str) -> AdapterLoss:
    worst = loss.worst
    return AdapterLoss(
        weights=loss.share,
        worst=worst.share if worst else 0.0,
        worst_tensor=worst.name if worst and worst.missing else None,
        divergence=divergence,
        not_measured=reason,
    )


def _too_lossy(measured: LowRankAdapter) -> str:
    """Why no number of extra ranks is both good enough and small enough."""
    rank = EXTRA_RANKS[-1]
    loss = measured.loss(rank)
    if measured.complete and loss.is_within_bound:
        return "a low-rank form that is exact enough would be larger than the merged tensors"
    what, share, bound = "the change of the weights", loss.share, BOUND
    if loss.share <= BOUND and loss.worst is not None:
        what, share, bound = f"the change of {loss.worst.name}", loss.worst.share, TENSOR_BOUND
    where = "" if measured.complete else f" (on the first {len(measured.forms)} tensors)"
    return (
        f"the low-rank form with {rank} extra ranks would lose {percent(share)} of {what}{where}; "
        f"{percent(bound)} are allowed"
    )
