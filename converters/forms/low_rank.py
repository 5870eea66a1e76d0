"""Puts a whole adapter into low-rank form, and measures the part of its change that is left out.

The measure is the missing share of the squared change of weights, for every tensor and for all of
them together. The divergence of the answers grows with the square of a change, too. If the missing
part matters as much as the rest, the measure is therefore the lost share of the adapter's effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import ConversionError
from ..gguf.header import GGUFHeader
from ..peft.updates import LowRank, Update
from ..safetensors import Float32Array
from .change_loss import BOUND, ChangeLoss, TensorLoss
from .decomposition import LowRankForm, low_rank_form
from .lora import LoraPair, stored_rank, write_lora
from .targets import Target
from .weights import WeightSource

__all__ = ["EXTRA_RANKS", "LowRankAdapter", "measure_low_rank", "write_low_rank"]

EXTRA_RANKS = (0, 8, 16, 32, 64)
"""Extra ranks that are tried beyond the adapter's own. Each doubles the cost per token."""

PROBE_TENSORS = 12
"""Tensors after which a hopeless measurement may end: two layers of a usual adapter."""

HOPELESS = 2.0
"""If the first tensors lose this many times the bound, the whole does not stay within it."""


@dataclass(frozen=True)
class LowRankAdapter:
    """All updates in low-rank form, with up to ``EXTRA_RANKS[-1]`` extra ranks each.

    ``complete`` is False if the measurement ended early because no rank would be enough.
    """

    forms: tuple[tuple[Target, LowRankForm], ...]
    source: str
    complete: bool = True

    def loss(self, extra_rank: int) -> ChangeLoss:
        """The part of the change that ``extra_rank`` extra ranks leave out."""
        return ChangeLoss(
            tuple(
                TensorLoss.of(
                    target.gguf_name,
                    form.error_squared(extra_rank),
                    form.delta_squared,
                    form.weight_squared,
                )
                for target, form in self.forms
            )
        )

    def error(self, extra_rank: int) -> float:
        """Relative error of the adapted weights: the missing part's norm over the whole norm."""
        missing = sum(form.error_squared(extra_rank) for _, form in self.forms)
        whole = sum(form.weight_squared for _, form in self.forms)
        return float(np.sqrt(missing / whole)) if whole else 0.0

    def ranks_within_bound(self, max_bytes: float) -> tuple[int, ...]:
        """The values of `EXTRA_RANKS` within the bound that take less than ``max_bytes``.

        The cheapest comes first.
        """
        if not self.complete:
            return ()
        return tuple(
            rank
            for rank in EXTRA_RANKS
            if self.loss(rank).is_within_bound and self.n_bytes(rank) < max_bytes
        )

    def n_bytes(self, extra_rank: int) -> int:
        """Bytes of A and B in float32."""
        return sum(
            4 * stored_rank(form.exact_rank + min(extra_rank, len(form.values))) * sum(target.shape)
            for target, form in self.forms
        )


def measure_low_rank(
    updates: Sequence[tuple[Target, Update]],
    source: WeightSource,
    *,
    max_extra_rank: int = EXTRA_RANKS[-1],
    may_give_up: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> LowRankAdapter:
    """Decompose every update. The weights, which DoRA's gain needs, come from ``source``.

    Only one weight at a time is in memory. With ``may_give_up`` the measurement ends after
    `PROBE_TENSORS` tensors if no rank would be enough. ``progress`` is called with the bytes of
    float32 weights that are done and their total. Raises ConversionError for changes that are too
    large to decompose.
    """
    forms: list[tuple[Target, LowRankForm]] = []
    total = sum(4 * int(np.prod(target.shape)) for target, _ in updates)
    done = 0

    def result(complete: bool) -> LowRankAdapter:
        return LowRankAdapter(tuple(forms), source.origin, complete)

    for target, update in updates:
        weight = source.read(target)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # a loss that is NaN is too large
                forms.append((target, _form(target, update, weight, max_extra_rank)))
        except np.linalg.LinAlgError:
            raise ConversionError(
                f"{target.hf_name}: the changed weights are too large to decompose"
            ) from None
        if may_give_up and len(forms) == PROBE_TENSORS < len(updates):
            probe = result(complete=False)
            if probe.loss(max_extra_rank).share > HOPELESS * BOUND:
                return probe
        done += 4 * weight.size
        if progress is not None:
            progress(done, total)
    return result(complete=True)


def write_low_rank(adapter: LowRankAdapter, extra_rank: int, base: GGUFHeader, out: Path) -> None:
    """Write the form with ``extra_rank`` extra ranks as a GGUF LoRA."""
    pairs = []
    for target, form in adapter.forms:
        a, b = form.truncated(min(extra_rank, len(form.values)))
        pairs.append(LoraPair(target, a, b, target.module == "embed_tokens"))
    kept = [pair for pair in pairs if pair.a.shape[0]]
    write_lora(kept, base.architecture, out, source=base.path)


def _form(target: Target, update: Update, weight: Float32Array, extra: int) -> LowRankForm:
    """The form with outputs as rows. An embedding, which is looked up, is transposed for this."""
    if target.module != "embed_tokens":
        return low_rank_form(update, weight, extra)
    if isinstance(update, LowRank):
        turned = replace(update, is_embedding=False)
        return low_rank_form(turned, np.ascontiguousarray(weight.T), extra)
    return low_rank_form(_Turned(update), np.ascontiguousarray(weight.T), extra)


@dataclass(frozen=True)
class _Turned(Update):
    """An embedding's update that works on the transposed weight."""

    update: Update

    def apply(self, weight: Float32Array) -> Float32Array:
        return np.ascontiguousarray(self.update.apply(np.ascontiguousarray(weight.T)).T)
