"""What is demanded of the signature of a package before it is opened.

``"ignore"`` looks at no signature. ``"check"`` opens unsigned packages and those of unknown keys,
and refuses a signature that does not fit. ``"require"`` opens only what a trusted key has signed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import SignatureError
from .trusted import TrustedKeys, trusted_keys
from .verification import UNSIGNED, SignatureReport, SignedContents, verify_signatures

__all__ = ["POLICIES", "UNCHECKED", "checked_signature", "signature_policy"]

POLICIES = ("ignore", "check", "require")

UNCHECKED = SignatureReport("not verified")
"""Nobody wanted to know."""

_PROBLEMS = 5
"""Damaged files among the trusted keys that are told."""

_VARIABLE = "HIVELLM_SIGNATURES"


def signature_policy(given: str | None) -> str:
    """``given``, or what the variable HIVELLM_SIGNATURES says, or ``"check"``.

    Raises ValueError for another word.
    """
    value = given or os.environ.get(_VARIABLE) or "check"
    if value not in POLICIES:
        name = "signatures" if given else _VARIABLE
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, POLICIES))}")
    return value


def checked_signature(
    policy: str, source: str, contents: Callable[[], SignedContents] | None
) -> tuple[SignatureReport, tuple[str, ...]]:
    """The report on a package, and notes for its user.

    ``contents`` is called only if it is needed; None: the package says nothing of a signature.
    Raises SignatureError if the package may not be opened.
    """
    if policy == "ignore":
        return UNCHECKED, ()
    trusted = TrustedKeys({}) if contents is None else trusted_keys()
    report = (
        UNSIGNED
        if contents is None
        else verify_signatures(contents(), trusted.names, source=source)
    )
    if report.state == "unsigned":
        if policy == "require":
            raise SignatureError(
                f"{source}: not signed, and a signature is required\n"
                "Get a signed package from its author, or load this one without "
                'signatures="require".'
            )
        return report, ()
    if report.state == "not verified":
        if policy == "require":
            raise SignatureError(
                f"{source}: its signature cannot be verified without cryptography\n"
                "Install it: pip install 'hivellm-lite[signing]'"
            )
        return report, (
            "its signature was not verified: pip install 'hivellm-lite[signing]' makes that "
            "possible",
        )
    if report.trusted_as is None:
        if policy == "require":
            raise _untrusted(source, report, trusted)
        return report, (
            f"it is signed by a key that is not trusted on this machine, {report.key}; "
            f"'hivellm-lite trust add {report.key}' trusts it",
            *trusted.problems[:_PROBLEMS],
        )
    return report, ()


def _untrusted(source: str, report: SignatureReport, trusted: TrustedKeys) -> SignatureError:
    damaged = "".join(f"\n{problem}" for problem in trusted.problems[:_PROBLEMS])
    return SignatureError(
        f"{source}: signed by a key that is not trusted on this machine: {report.key}{damaged}\n"
        f"If you know that this is the author's key: hivellm-lite trust add {report.key}"
    )
