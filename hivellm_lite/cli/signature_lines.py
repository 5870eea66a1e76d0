"""What is said of the signature of a package."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..signing.verification import SignatureReport

__all__ = ["signature_facts", "signature_lines"]

_KINDS = {
    "package": "over the whole package",
    "hivellm": "HiveLLM's, in manifest.json",
}


def signature_facts(report: SignatureReport) -> dict[str, Any]:
    """The report for JSON, with ``trusted`` for programs that look no further."""
    return {**dataclasses.asdict(report), "trusted": is_trusted(report)}


def is_trusted(report: SignatureReport) -> bool:
    """Whether the signature is valid and its key trusted."""
    return report.state == "signed" and report.trusted_as is not None


def signature_lines(report: SignatureReport) -> list[tuple[str, str]]:
    """Labels and texts. What the package says of itself stands in quotes."""
    if report.state == "unsigned":
        return [("signed", "no")]
    if report.key is None:
        return [("signed", "not verified")]
    verified = "yes" if report.state == "signed" else "not verified"
    trusted = (
        f"trusted as {report.trusted_as}" if report.trusted_as else "a key that is not trusted"
    )
    if report.state != "signed":
        trusted = "needs pip install 'hivellm-lite[signing]'"
    lines = [
        ("signed", f"{verified}: {trusted}"),
        ("  key", report.key),
        ("  kind", " and ".join(_KINDS[kind] for kind in report.kinds)),
    ]
    if report.publisher:
        lines.append(("  publisher", repr(report.publisher)))
    if report.signed_at:
        is_covered = "package" in report.kinds
        lines.append(("  at", report.signed_at if is_covered else repr(report.signed_at)))
    covers = (
        "every file, manifest.json included" if "package" in report.kinds else "every other file"
    )
    lines.append(("  covers", covers))
    lines += [("  but", reservation) for reservation in report.reservations]
    return lines
