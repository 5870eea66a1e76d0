"""HiveLLM's signature: ``integrity`` of the manifest, read more strictly than by the manifest.

The values may have the prefixes that HiveLLM's documents show (``ed25519:``, ``hex:``,
``sha256:``). Digits are lower-case, as its tool writes them: one signature has one text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..archive.limits import Refused
from ..archive.names import member_path
from ..strict_json.parsing import shown

__all__ = ["ALGORITHM", "HiveLLMSignature", "read_hivellm_signature", "read_signature_file"]

ALGORITHM = "ed25519"

_DIGEST = re.compile(r"(?:sha256:|hex:)?([0-9a-f]{64})")
_KEY = re.compile(r"(?:ed25519:|hex:)?([0-9a-f]{64})")
_SIGNATURE = re.compile(r"(?:ed25519:|hex:)?([0-9a-f]{128})")


@dataclass(frozen=True)
class HiveLLMSignature:
    """``files`` gives the digest (64 lower-case digits) of each path that the message names."""

    key: bytes
    signature: bytes
    files: Mapping[str, str]
    publisher: str | None
    created_at: str | None


def read_hivellm_signature(integrity: Mapping[str, Any]) -> HiveLLMSignature:
    """The signature in ``integrity``. Raises ValueError that says what is wrong."""
    algorithm = integrity.get("signature_algorithm")
    if algorithm not in (None, "") and str(algorithm).lower() != ALGORITHM:
        raise ValueError(f"integrity.signature_algorithm is {shown(algorithm)}, not {ALGORITHM}")
    given = integrity.get("files")
    if not isinstance(given, dict) or not given:
        raise ValueError("integrity has a signature but lists no files")
    files = {}
    for path, digest in given.items():
        try:
            safe = member_path(path) == path
        except Refused as error:
            raise ValueError(f"integrity.files: {error}") from None
        if not safe:
            raise ValueError(f"integrity.files: {shown(path)} is not written as it is in archives")
        files[path] = _digits(digest, _DIGEST, f"integrity.files[{shown(path)}]", 64)
    return HiveLLMSignature(
        key=bytes.fromhex(_digits(integrity.get("pubkey"), _KEY, "integrity.pubkey", 64)),
        signature=bytes.fromhex(
            _digits(integrity.get("signature"), _SIGNATURE, "integrity.signature", 128)
        ),
        files=files,
        publisher=_text(integrity.get("publisher")),
        created_at=_text(integrity.get("created_at")),
    )


def read_signature_file(data: bytes) -> bytes:
    """The signature that ``signature.sig`` repeats. Raises ValueError."""
    text = data.decode("latin-1").strip(" \r\n")
    return bytes.fromhex(_digits(text, _SIGNATURE, "signature.sig", 128))


def _digits(value: object, form: re.Pattern[str], name: str, count: int) -> str:
    if isinstance(value, str) and (match := form.fullmatch(value)):
        return match[1]
    raise ValueError(f"{name}: found {shown(value)}, expected {count} lower-case hex digits")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
