"""Chooses the form of an adapter that is no plain LoRA on its base, and writes it.

A form is sound if it loses no more than `ALLOWED` of the adapter's own effect: measured in
weights, for every tensor and over all, and then in answers. The cheapest sound form is taken:

1. the low-rank form, with as few extra ranks as it takes, while it is smaller than a variant;
2. a variant, each tensor stored at the smallest type that keeps the tensor's change; if the
   answers then still lose too much, all of it in float32, which loses nothing.

A form that the caller asks for is made whatever it loses, and its loss is recorded.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapter_loss import ALLOWED, AdapterLoss, Divergence, percent
from .adapter_options import AdapterOptions
from .base_parts import base_parts
from .cache import Cache
from .errors import ConversionError, ExpertError, OutOfMemoryError
from .measured_texts import texts_of
from .package import Package
from .progress import Progress

if TYPE_CHECKING:
    from .converters.change_loss import ChangeLoss
    from .converters.gguf_header import GGUFHeader
    from .converters.low_rank_adapter import LowRankAdapter
    from .converters.peft import Adapter
    from .converters.targets import Target
    from .converters.updates import Update
    from .converters.variant import TypePlan
    from .converters.weights import GGUFWeights, WeightSource
    from .loss_measurement import LoraMeter, ModelFiles, Places

__all__ = ["FORMS_VERSION", "FormBuilder", "lora_obstacle"]

FORMS_VERSION = 2
"""Part of cache keys: raised when the same input would take another form."""

_FLOAT32_BYTES = 4


def lora_obstacle(adapter: Adapter, header: GGUFHeader) -> str:
    """Why no GGUF LoRA can hold this adapter on this base; empty if one can.

    Raises ConversionError for an adapter that does not fit the base at all.
    """
    from .converters.targets import find_targets

    find_targets(adapter, header)
    try:
        find_targets(adapter, header, for_lora=True)
    except ConversionError as error:
        return str(error).splitlines()[0].split(": ", 1)[-1]
    return ""


@dataclass
class FormBuilder:
    """Makes one form of ``adapter`` on the base of ``header``.

    ``float_folder``: the base's Hugging Face folder, if it is at hand. Raises ConversionError
    when it is created for a form that is impossible or an adapter of another base.
    """

    package: Package
    adapter: Adapter
    header: GGUFHeader
    cache: Cache
    options: AdapterOptions
    float_folder: Path | None
    progress: Progress | None
    _updates: list[tuple[Target, Update]] = field(init=False)
    _obstacle: str = field(init=False)

    def __post_init__(self) -> None:
        """Find what is changed, and whether that can be low rank."""
        from .converters.targets import find_targets

        self._updates = find_targets(self.adapter, self.header)
        self._obstacle = lora_obstacle(self.adapter, self.header)
        if self.options.mode == "lora" and self._obstacle:
            raise ConversionError(f"adapter_mode='lora' is not possible: {self._obstacle}")

    def build(self, folder: Path) -> dict[str, Any]:
        """Write the form into ``folder``; returns the report that ``entry.json`` keeps.

        Raises ConversionError and OutOfMemoryError.
        """
        from .converters.weights import gguf_weights
        from .loss_measurement import Places

        origin, texts = texts_of(self.package)
        places = Places(self.package, texts, origin)
        try:
            with gguf_weights(self.header.path) as base, self._source() as source:
                form = _Form(self, folder, base, source, places)
                try:
                    report = form.choose()
                finally:
                    shutil.rmtree(form.scratch, ignore_errors=True)
        except MemoryError:
            raise OutOfMemoryError(
                f"not enough memory to convert {self.package.manifest.identity}: "
                "the largest adapted tensor does not fit several times in float32"
            ) from None
        return {"methods": self.adapter.methods, **report}

    def _source(self) -> AbstractContextManager[WeightSource]:
        from .converters.weights import checkpoint_weights, gguf_weights

        if self.float_folder is not None:
            return checkpoint_weights(self.float_folder)
        return gguf_weights(self.header.path)

    @property
    def updates(self) -> list[tuple[Target, Update]]:
        """What is changed."""
        return self._updates

    @property
    def obstacle(self) -> str:
        """See `lora_obstacle`."""
        return self._obstacle

    def labelled(self, label: str) -> Callable[[int, int], None] | None:
        """The caller's ``progress`` for one piece of the work."""
        progress = self.progress
        return None if progress is None else lambda done, total: progress(label, done, total)


@dataclass
class _Form:
    """One run of a `FormBuilder`, with the weights open."""

    builder: FormBuilder
    folder: Path
    base: GGUFWeights
    source: WeightSource
    places: Places

    @property
    def scratch(self) -> Path:
        """Where references stand while they are needed."""
        return self.folder / "measuring"

    @property
    def _options(self) -> AdapterOptions:
        return self.builder.options

    def choose(self) -> dict[str, Any]:
        if self._options.mode == "exact":
            return self._variant("adapter_mode='exact'")
        if self.builder.obstacle:
            return self._variant(self.builder.obstacle)
        with ExitStack() as stack:
            low_rank = self._low_rank(stack)
        return self._variant(low_rank) if isinstance(low_rank, str) else low_rank

    # --- low rank --------------------------------------------------------------------

    def _low_rank(self, stack: ExitStack) -> dict[str, Any] | str:
        """The report of the cheapest sound low-rank form, or why there is none."""
        from .converters.low_rank_adapter import write_low_rank

        gated = self._options.mode == "auto" and self._options.extra_rank is None
        out = self.folder / "adapter.gguf"
        meter: _LazyMeter | None = None
        why_not = ""
        for measured, rank in self._candidates(gated):
            if rank is None:
                return why_not or _too_lossy(measured)
            write_low_rank(measured, rank, self.builder.header, out)
            meter = meter or _LazyMeter(self, stack)
            loss = _recorded(measured.loss(rank), *meter.measure(out, measured.loss(rank)))
            found = loss.divergence
            if gated and found is not None and not found.is_allowed:
                why_not = (
                    f"the low-rank form with {rank} extra ranks would lose {percent(found.share)} "
                    f"of the adapter's effect on answers; {percent(ALLOWED)} are allowed"
                )
                out.unlink()
                continue
            return {
                "form": "low-rank",
                "why": f"the low-rank form loses {loss}" if gated else "it was asked for",
                "extra_rank": rank,
                "error": measured.error(rank),
                "delta_error": math.sqrt(loss.weights),
                "loss": loss.as_dict(),
                "source": measured.source,
                "bytes": out.stat().st_size,
            }
        raise AssertionError("the candidates end with one that has no rank")

    def _candidates(self, gated: bool) -> Iterator[tuple[LowRankAdapter, int | None]]:
        """Forms with their extra ranks, cheapest first; last one with None, why there is no more.

        Without extra ranks no weight is decomposed, which takes most of the time.
        """
        from .converters.low_rank_adapter import EXTRA_RANKS, measure_low_rank

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
        from .converters.quantization import tensor_type
        from .converters.variant import allowed_types, stored_bytes

        smallest, *_ = allowed_types(self.source, self.base, None)
        shapes = {target.gguf_name: target.shape for target, _ in self.builder.updates}
        return sum(stored_bytes(shape, tensor_type(smallest, shape)) for shape in shapes.values())

    # --- variant ---------------------------------------------------------------------

    def _variant(self, why: str) -> dict[str, Any]:
        from .converters.variant import allowed_types, plan_types

        wanted = self._options.variant_type
        allowed = allowed_types(self.source, self.base, wanted, force=self._options.force)
        plan = self._planned(allowed)
        facts = self._write_variant(plan)
        divergence, reason = self._variant_divergence(plan, facts["n_tensors"])
        if wanted is None and divergence is not None and not divergence.is_allowed:
            plan = plan_types(self.builder.updates, self.source, ("f32",))
            facts = self._write_variant(plan)
            divergence = dataclasses.replace(divergence, served=0.0)
        loss = _recorded(plan.loss, divergence, reason)
        return {
            "form": "variant",
            "why": why,
            **facts,
            "delta_error": math.sqrt(loss.weights),
            "loss": loss.as_dict(),
        }

    def _planned(self, allowed: tuple[str, ...]) -> TypePlan:
        from .converters.variant import plan_types

        report = self.builder.labelled("Measuring the variant")
        return plan_types(self.builder.updates, self.source, allowed, progress=report)

    def _parts(self) -> list[Path]:
        return base_parts(self.builder.header.path, self.builder.cache, self.builder.progress)

    def _write_variant(self, plan: TypePlan) -> dict[str, Any]:
        from .converters.variant import convert_variant

        report = convert_variant(
            self.builder.updates,
            self.builder.header,
            [part.name for part in self._parts()],
            self.source,
            self.folder,
            quantization=plan.types,
            progress=self.builder.labelled("Merging the variant"),
        )
        return dataclasses.asdict(report)

    def _variant_divergence(self, plan: TypePlan, n_tensors: int) -> tuple[Divergence | None, str]:
        from .converters.variant import loading_order
        from .loss_measurement import ModelFiles, NotMeasured, check_room, measure_models

        if plan.is_exact:
            return None, "float32 loses nothing"
        elements = {target.gguf_name: target.shape for target, _ in self.builder.updates}
        n_bytes = _FLOAT32_BYTES * sum(map(math.prod, elements.values()))
        served = ModelFiles(loading_order(self._parts(), self.folder), n_tensors)
        without: AbstractContextManager[ModelFiles] = self._merged(with_adapter=False)
        if self.builder.float_folder is None or self.base.is_float:
            without = _standing(ModelFiles([self.builder.header.path]))
        try:
            check_room(self.folder, n_bytes)
            return measure_models(self._merged(with_adapter=True), without, served, self.places), ""
        except (NotMeasured, ExpertError, OSError, MemoryError) as error:
            return None, _first_line(error)

    @contextmanager
    def _merged(self, *, with_adapter: bool) -> Iterator[ModelFiles]:
        """The changed tensors in float32 beside the base's others: exactly what is meant."""
        from .converters.updates import Unchanged
        from .converters.variant import convert_variant, loading_order
        from .loss_measurement import ModelFiles

        place = self.scratch / ("exact" if with_adapter else "without")
        place.mkdir(parents=True)
        updates = self.builder.updates
        if not with_adapter:
            updates = [(target, Unchanged()) for target, _ in updates]
        parts = self._parts()
        try:
            report = convert_variant(
                updates,
                self.builder.header,
                [part.name for part in parts],
                self.source,
                place,
                quantization="f32",
                progress=self.builder.labelled("Writing what is compared with"),
            )
            yield ModelFiles(loading_order(parts, place), report.n_tensors)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _standing(model: ModelFiles) -> Iterator[ModelFiles]:
    """Files that need not be made."""
    yield model


class _LazyMeter:
    """A `LoraMeter` that is made for the first form that loses anything."""

    def __init__(self, form: _Form, stack: ExitStack) -> None:
        self._form, self._stack = form, stack
        self._meter: LoraMeter | None = None
        self._reason = ""

    def measure(self, lora: Path, loss: ChangeLoss) -> tuple[Divergence | None, str]:
        """The divergence, or None and why it was not measured."""
        from .loss_measurement import NotMeasured

        if loss.share == 0.0:
            return None, "nothing is lost"
        if self._reason:
            return None, self._reason
        try:
            self._meter = self._meter or self._open()
            return self._meter.measure(lora, loss.share), ""
        except (NotMeasured, ExpertError, OSError, MemoryError) as error:
            self._reason = _first_line(error)
            return None, self._reason

    def _open(self) -> LoraMeter:
        from .converters.exact_lora import exact_lora_bytes, write_exact_lora
        from .loss_measurement import check_room, lora_meter

        form = self._form
        updates, header = form.builder.updates, form.builder.header
        check_room(form.folder, exact_lora_bytes(updates))
        form.scratch.mkdir(exist_ok=True)
        reference = form.scratch / "exact.gguf"
        progress = form.builder.labelled("Writing what is compared with")
        write_exact_lora(updates, header, form.source, reference, progress=progress)
        rounds = not form.base.is_float
        meter = lora_meter(header.path, reference, form.places, rounds=rounds)
        return self._stack.enter_context(meter)


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
    """Why no extra rank is good enough and small enough."""
    from .converters.change_loss import BOUND, TENSOR_BOUND
    from .converters.low_rank_adapter import EXTRA_RANKS

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


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
