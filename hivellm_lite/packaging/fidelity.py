"""What earlier conversions and ``verify-conversion`` measured of a package's adapter, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..adapters.prepare import earlier_conversions
from ..adapters.report import (
    AdapterReport,
    LowRankAdapterReport,
    VariantAdapterReport,
)
from ..cache.store import Cache
from ..package.opening import Package

__all__ = ["measured_fidelity"]

MAX_FORMS = 8
"""Conversions that are told; one for each base and each form."""


def measured_fidelity(package: Package, cache: Cache) -> tuple[tuple[str, ...], ...]:
    """For each conversion of which something was measured: the form, and what was found.

    No path of this machine is told, only the names of files and folders.
    """
    found: dict[tuple[str, ...], None] = {}
    for entry, report in earlier_conversions(package, cache):
        lines = (*_conversion(report), *_verification(entry.info.get("verification")))
        if lines:
            told = (f"Converted to {report}", *lines)
            found[told] = None
    return tuple(found)[:MAX_FORMS]


def _conversion(report: AdapterReport) -> Iterator[str]:
    """The loss that the conversion itself measured."""
    if isinstance(report, LowRankAdapterReport | VariantAdapterReport):
        yield f"Loses {report.loss}, measured against the {report.source}"


def _verification(record: Any) -> Iterator[str]:
    """The record of `hivellm_lite.verification.verify_conversion`, if there is one."""
    if not isinstance(record, Mapping) or not record.get("tensors"):
        return
    tensors = record["tensors"]
    changes = [tensor["delta"] for tensor in tensors]
    yield (
        f"Of {len(tensors)} adapted tensors, the change differs by at most {max(changes):.1e} "
        f"(relative) from PEFT's merge of {record['source']} in float32"
    )
    labels = (("served", "Answers"), ("base_only", "The base alone, by its quantisation"))
    for name, label in labels:
        if (found := record.get(name)) is not None:
            yield (
                f"{label}: KL {found['kl_mean']:.1e} nats a token from the exact float32 model, "
                f"the same most probable token at {found['top1']:.1%} of {found['positions']} "
                "places"
            )
