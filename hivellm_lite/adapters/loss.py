"""How much of an adapter's effect its converted form has lost: a record that is kept with it.

There are two measures. Both are shares of the adapter's own effect, not of the base's weights:

*weights*: the share of the squared change of the weights that is missing.
*effect*: the divergence of the served answers from the answers of the exact change, as a
share of the divergence of the base's answers without any adapter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ALLOWED",
    "NOTHING_LOST",
    "WORTH_A_WARNING",
    "AdapterLoss",
    "Divergence",
    "is_recorded",
    "loss_of",
    "percent",
]

ALLOWED = 0.02
"""The share of an adapter's effect that a form may lose, unless the caller asks for the form."""

NOISE_SPREAD = 1.5
"""Two measurements of the same noise differ by less than this factor."""

WORTH_A_WARNING = 0.01
"""The lost share of the effect above which users are told."""


@dataclass(frozen=True)
class Divergence:
    """Mean Kullback-Leibler divergences, in nats, over ``positions`` positions of ``texts``.

    ``served`` is the divergence of the form from the exact change. ``without`` is the
    divergence of the base without the adapter from the exact change: the adapter's whole
    effect. ``noise`` is the part of ``served`` that comes from rounding, if that matters (or
    else 0). Beside quantised weights llama.cpp also rounds the values that it computes with,
    and the least difference flips some of them.
    """

    served: float
    without: float
    positions: int
    texts: str
    noise: float = 0.0

    @property
    def share(self) -> float:
        """The share of the effect that the form has lost."""
        lost = max(0.0, self.served - self.noise)
        return lost / self.without if self.without > 0 else float(lost > 0)

    @property
    def is_telling(self) -> bool:
        """Whether a loss of the allowed size would exceed the noise."""
        return self.noise <= ALLOWED * self.without

    @property
    def is_allowed(self) -> bool:
        """Whether the form loses no more than is allowed, as far as the noise lets one tell."""
        return self.served <= NOISE_SPREAD * self.noise + ALLOWED * self.without


@dataclass(frozen=True)
class AdapterLoss:
    """The loss of one converted adapter.

    ``weights`` and ``worst`` are missing shares of the squared change: over all tensors, and
    of the tensor ``worst_tensor``. ``divergence`` is None if it was not measured;
    ``not_measured`` then says why.
    """

    weights: float
    worst: float
    worst_tensor: str | None
    divergence: Divergence | None = None
    not_measured: str = ""

    @property
    def share(self) -> float:
        """The lost share of the adapter's effect, measured on answers or else in weights."""
        if self.divergence is None or not self.divergence.is_telling:
            return self.weights
        return self.divergence.share

    def as_dict(self) -> dict[str, object]:
        """The loss as ``entry.json`` holds it and ``--json`` shows it."""
        facts = dataclasses.asdict(self)
        if self.divergence is not None:
            facts["divergence"]["share"] = self.divergence.share
        return {"share": self.share, **facts}

    def __str__(self) -> str:
        """The loss in words, to follow "loses"."""
        if self == NOTHING_LOST:
            return "nothing"
        weights = f"{percent(self.weights)} of the squared change of the weights"
        if self.divergence is None:
            reason = f" ({self.not_measured})" if self.not_measured else ""
            return f"{weights}; the effect on answers was not measured{reason}"
        found = self.divergence
        measured = (
            f"KL {found.served:.1e} where the base without it has {found.without:.1e} nats, "
            f"{found.positions} places of {found.texts}"
        )
        if not found.is_telling:
            return f"{weights}; its effect on answers is too small to measure ({measured})"
        return f"{percent(found.share)} of its effect ({measured}), {weights}"


NOTHING_LOST = AdapterLoss(0.0, 0.0, None, not_measured="nothing is lost")


def is_recorded(report: Mapping[str, Any]) -> bool:
    """Whether a report says what is lost.

    Reports of earlier versions do not. Of these, only plain LoRAs, which lose nothing, are
    still used.
    """
    return report["form"] == "lora" or "loss" in report


def _divergence_of(facts: Mapping[str, Any]) -> Divergence:
    return Divergence(**{one.name: facts[one.name] for one in dataclasses.fields(Divergence)})


def loss_of(report: Mapping[str, Any]) -> AdapterLoss:
    """The loss in the report of a conversion."""
    facts = report.get("loss")
    if facts is None:
        return NOTHING_LOST
    found = facts["divergence"]
    return AdapterLoss(
        weights=facts["weights"],
        worst=facts["worst"],
        worst_tensor=facts["worst_tensor"],
        divergence=None if found is None else _divergence_of(found),
        not_measured=facts["not_measured"],
    )


def percent(share: float) -> str:
    """A share in words: ``1.9 %``, ``0.03 %``, and smaller shares as a power of ten."""
    digits = next((n for n, least in ((1, 0.01), (2, 1e-4)) if share >= least), None)
    if digits is None:
        return f"{100 * share:.0e} %" if share else "0 %"
    return f"{100 * share:.{digits}f} %"
