"""``package-signature.json``: the signature over the whole package, the manifest included.

::

    {
      "format": "hivellm-lite package signature 1",
      "name": "expert-sql",
      "version": "0.3.0",
      "signed_at": "2026-01-31T12:00:00Z",
      "public_key": "ed25519:…",
      "signature": "…",
      "files": {"README.md": "9f86…", "manifest.json": "…", …}
    }

``files`` has every member of the archive except this one. `messages.package_message` is signed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..archive.limits import Refused
from ..archive.names import member_path
from ..strict_json.parsing import JsonError, parse_object, repeated_key, shown
from .keys import PREFIX
from .messages import FORMAT, PACKAGE_SIGNATURE, package_message

__all__ = ["MAX_PACKAGE_SIGNATURE_BYTES", "PackageSignature", "read_package_signature"]

MAX_PACKAGE_SIGNATURE_BYTES = 2 << 20
"""Largest file: 4,096 members with paths of 240 bytes take 1.3 MB."""

_KEYS = ("format", "name", "version", "signed_at", "public_key", "signature", "files")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(rf"{PREFIX}([0-9a-f]{{64}})")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True)
class PackageSignature:
    """The file's contents. ``files`` gives the SHA-256 (64 lower-case digits) by path."""

    name: str
    version: str
    signed_at: str
    key: bytes
    signature: bytes
    files: Mapping[str, str]

    @property
    def message(self) -> bytes:
        """What the signature is for."""
        return package_message(self.name, self.version, self.signed_at, self.files)

    def as_json(self) -> bytes:
        """The bytes of the file."""
        document = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "signed_at": self.signed_at,
            "public_key": f"{PREFIX}{self.key.hex()}",
            "signature": self.signature.hex(),
            "files": {path: self.files[path] for path in sorted(self.files, key=str.encode)},
        }
        return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()


def read_package_signature(data: bytes) -> PackageSignature:
    """The contents of the file. Raises ValueError for anything but exactly this format."""
    try:
        document = parse_object(
            data, source=PACKAGE_SIGNATURE, max_bytes=MAX_PACKAGE_SIGNATURE_BYTES
        )
    except JsonError as error:
        raise ValueError(str(error)) from None
    value = document.value
    if (key := repeated_key(document)) is not None:
        raise ValueError(f"the key {shown(key)} stands twice in {PACKAGE_SIGNATURE}")
    if value.get("format") != FORMAT:
        raise ValueError(
            f"{PACKAGE_SIGNATURE} has the format {shown(value.get('format'))}; "
            f"this version reads {shown(FORMAT)}"
        )
    if set(value) != set(_KEYS):
        odd = sorted(set(value) ^ set(_KEYS))[0]
        what = "is missing" if odd in _KEYS else "is unknown"
        raise ValueError(f"{PACKAGE_SIGNATURE}: the key {shown(odd)} {what}")
    files = value["files"]
    if not isinstance(files, dict):
        raise ValueError(f"{PACKAGE_SIGNATURE}: files is no object")
    for path, digest in files.items():
        _matched(digest, _DIGEST, f"files[{shown(path)}]")
        try:
            safe = member_path(path) == path
        except Refused as error:
            raise ValueError(f"{PACKAGE_SIGNATURE}: {error}") from None
        if not safe or path == PACKAGE_SIGNATURE:
            raise ValueError(f"{PACKAGE_SIGNATURE}: files may not list {shown(path)}")
    return PackageSignature(
        name=_line(value["name"], "name"),
        version=_line(value["version"], "version"),
        signed_at=_matched(value["signed_at"], _TIME, "signed_at")[0],
        key=bytes.fromhex(_matched(value["public_key"], _KEY, "public_key")[1]),
        signature=bytes.fromhex(_matched(value["signature"], _SIGNATURE, "signature")[0]),
        files=files,
    )


def _line(value: object, name: str) -> str:
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise ValueError(f"{PACKAGE_SIGNATURE}: {name} is {shown(value)}, not one line of text")


def _matched(value: object, form: re.Pattern[str], name: str) -> re.Match[str]:
    if isinstance(value, str) and (match := form.fullmatch(value)):
        return match
    raise ValueError(f"{PACKAGE_SIGNATURE}: {name} is {shown(value)}, which it cannot be")
