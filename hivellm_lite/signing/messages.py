"""What is signed, byte by byte, and the members of a package that hold signatures.

HiveLLM signs ``path:sha256`` of each file, joined by line feeds, sorted by the bytes of the path.
The package signature says first what it is, and for which package::

    hivellm-lite package signature 1
    name:expert-sql
    version:0.3.0
    signed_at:2026-01-31T12:00:00Z
    README.md:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    …

Every line ends with a line feed. The first four lines stand at fixed places, and neither a name, a
version, a time nor a path of a package may hold a line feed (nor a path a colon), so no two
different packages have the same message.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MARKER",
    "MARKER_TEXT",
    "PACKAGE_SIGNATURE",
    "SIGNATURE_FILE",
    "SIGNATURE_MEMBERS",
    "hivellm_message",
    "package_message",
]

MANIFEST = "manifest.json"
SIGNATURE_FILE = "signature.sig"
PACKAGE_SIGNATURE = "package-signature.json"
MARKER = "package-signature.txt"

SIGNATURE_MEMBERS = (SIGNATURE_FILE, PACKAGE_SIGNATURE, MARKER)
"""The members that signing adds to a package."""

FORMAT = "hivellm-lite package signature 1"
"""First line of the message, so that no other signature of the same key can stand for it."""

MARKER_TEXT = b"""This package has a second signature, in package-signature.json.
It covers every file, and manifest.json too, which the signature in manifest.json does not.
Refuse this package if package-signature.json is missing or does not fit: somebody removed it.
"""


def hivellm_message(files: Mapping[str, str]) -> bytes:
    """What HiveLLM signs; ``files`` gives the digest (64 lower-case digits) by path."""
    return "\n".join(_lines(files)).encode()


def package_message(name: str, version: str, signed_at: str, files: Mapping[str, str]) -> bytes:
    """What the package signature signs: all members but `PACKAGE_SIGNATURE` itself."""
    head = (FORMAT, f"name:{name}", f"version:{version}", f"signed_at:{signed_at}")
    return "".join(f"{line}\n" for line in (*head, *_lines(files))).encode()


def _lines(files: Mapping[str, str]) -> list[str]:
    return [f"{path}:{files[path]}" for path in sorted(files, key=str.encode)]
