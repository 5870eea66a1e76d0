"""A whole adapter in its low-rank form, and whether that form is good enough.

The measure is what the base itself has lost: as long as the low-rank form leaves
out less (in squared weights, over all adapted tensors) than the base's
quantisation, it is not what limits the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .gguf_header import GGUFHeader
from .lora import LoraPair, write_lora
from .low_rank import LowRankForm, low_rank_form
from .safetensors import Float32Array
from .targets import Target
from .updates import LowRank, Update
from .weights import FLOAT_TYPES, GGUFWeights, WeightSource

__all__ = ["EXTRA_RANKS", "LowRankAdapter", "measure_low_rank", "write_low_rank"]

EXTRA_RANKS = (0, 8, 16, 32, 64)
"""Ranks beyond the adapter's own that are tried; each doubles what it costs per token."""

PROBE_TENSORS = 12
"""Tensors, two layers of a usual adapter, after which a hopeless measurement may end."""

HOPELESS = 2.0
"""An error this many times the base's own on the first tensors does not become small."""

TYPE_ERRORS: Mapping[str, float] = {
    "F32": 0.0,
    "F16": 2.1e-4,
    "BF16": 1.7e-3,
    "Q8_0": 5.3e-3,
    "Q6_K": 1.8e-2,
    "Q5_K": 3.6e-2,
    "Q5_1": 3.8e-2,
    "Q5_0": 4.3e-2,
    "Q4_K": 7.1e-2,
    "IQ4_NL": 7.6e-2,
    "IQ4_XS": 7.7e-2,
    "Q4_1": 7.8e-2,
    "Q4_0": 8.6e-2,
    "Q3_K": 1.5e-1,
    "IQ3_S": 1.7e-1,
    "Q2_K": 3.0e-1,
}
"""Relative error of ggml's types on normally distributed weights, as measured with
``ggml_quantize_chunk``; used where the float weights are not at hand. Types that are
missing here are worse."""


@dataclass(frozen=True)
class LowRankAdapter:
    """All updates in low-rank form, with up to ``EXTRA_RANKS[-1]`` extra ranks each.

    ``weight_squared``, ``delta_squared`` and ``base_squared`` are sums of squares over all
    adapted tensors: of the adapted weights, of what the adapter changes, and of what the
    base's quantisation lost. ``base_measured``: whether the last one was measured against
    float weights; it is estimated from the types otherwise. ``complete`` is False where
    the measurement ended early because no rank was going to be enough.
    """

    forms: tuple[tuple[Target, LowRankForm], ...]
    source: str
    weight_squared: float
    delta_squared: float
    base_squared: float
    base_measured: bool
    complete: bool = True

    def error(self, extra_rank: int) -> float:
        """Relative error of the adapted weights: what is missing, to the whole."""
        return self._relative(sum(form.error_squared(extra_rank) for _, form in self.forms))

    def delta_error(self, extra_rank: int) -> float:
        """The same to the adapter's own change."""
        missing = sum(form.error_squared(extra_rank) for _, form in self.forms)
        return float(np.sqrt(missing / self.delta_squared)) if self.delta_squared else 0.0

    @property
    def base_error(self) -> float:
        """Relative error that the base's quantisation costs in the same tensors."""
        return self._relative(self.base_squared)

    def smallest_rank_within(self, budget: float) -> int | None:
        """The least of `EXTRA_RANKS` whose error is below ``budget``; None if none is, or if
        the form would then be larger than the merged tensors at Q8_0.
        """
        if not self.complete:
            return None
        rank = next((rank for rank in EXTRA_RANKS if self.error(rank) < budget), None)
        merged = sum(target.shape[0] * target.shape[1] for target, _ in self.forms) * 34 / 32
        return rank if rank is not None and self.n_bytes(rank) < merged else None

    def n_bytes(self, extra_rank: int) -> int:
        """Bytes of A and B in float32."""
        return sum(
            4 * (form.exact_rank + min(extra_rank, len(form.values))) * sum(target.shape)
            for target, form in self.forms
        )

    def _relative(self, squared: float) -> float:
        return float(np.sqrt(squared / self.weight_squared)) if self.weight_squared else 0.0


def measure_low_rank(
    updates: Sequence[tuple[Target, Update]],
    base: GGUFWeights,
    source: WeightSource,
    *,
    max_extra_rank: int = EXTRA_RANKS[-1],
    may_give_up: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> LowRankAdapter:
    """Decompose every update; g comes from ``source``. One weight is in memory at a time.

    ``may_give_up`` ends after `PROBE_TENSORS` tensors if no rank is going to be enough.
    ``progress`` is called with the bytes of float32 weights done and in all.
    """
    forms: list[tuple[Target, LowRankForm]] = []
    weight_squared = delta_squared = base_squared = 0.0
    measured = source.is_float and not base.is_float
    total = sum(4 * int(np.prod(target.shape)) for target, _ in updates)
    done = 0

    def result(complete: bool) -> LowRankAdapter:
        return LowRankAdapter(
            forms=tuple(forms),
            source=source.origin,
            weight_squared=weight_squared,
            delta_squared=delta_squared,
            base_squared=base_squared,
            base_measured=measured,
            complete=complete,
        )

    for target, update in updates:
        weight = source.read(target)
        form = _form(target, update, weight, max_extra_rank)
        forms.append((target, form))
        squared = float(np.sum(np.square(weight, dtype=np.float64)))
        weight_squared += squared
        delta_squared += form.delta_squared
        if measured:
            lost = base.read(target) - weight
            base_squared += float(np.sum(np.square(lost, dtype=np.float64)))
        else:
            base_squared += squared * _type_error(base.header, target) ** 2
        if may_give_up and len(forms) == PROBE_TENSORS < len(updates):
            probe = result(complete=False)
            if probe.error(max_extra_rank) > HOPELESS * probe.base_error:
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
    """The form with rows as outputs: an embedding, which is looked up, stands transposed."""
    if target.module != "embed_tokens":
        return low_rank_form(update, weight, extra)
    if isinstance(update, LowRank):
        turned = replace(update, is_embedding=False)
        return low_rank_form(turned, np.ascontiguousarray(weight.T), extra)
    return low_rank_form(_Turned(update), np.ascontiguousarray(weight.T), extra)


@dataclass(frozen=True)
class _Turned(Update):
    """An update of an embedding, on its transpose."""

    update: Update

    def apply(self, weight: Float32Array) -> Float32Array:
        return np.ascontiguousarray(self.update.apply(np.ascontiguousarray(weight.T)).T)


def _type_error(base: GGUFHeader, target: Target) -> float:
    tensor = base.tensors[target.gguf_name]
    if tensor.type_name in FLOAT_TYPES:
        return TYPE_ERRORS[tensor.type_name]
    return TYPE_ERRORS.get(tensor.type_name, max(TYPE_ERRORS.values()))
