"""Signed packages as mappings of member to bytes, made once and then forged in memory.

Nothing here is taken from the library but `sign_package`: messages are written from the formats'
text, so that the library is compared with the text and not with itself.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hivellm_lite.packaging.signing import sign_package

from .packages import expert_files, manifest_v2, write_package

Files = dict[str, bytes]

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))

OWN, MARKER, SIG = "package-signature.json", "package-signature.txt", "signature.sig"


def public_hex(key: bytes) -> str:
    """The public key of a private one."""
    return Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw().hex()


PUBLIC, OTHER_PUBLIC = f"ed25519:{public_hex(KEY)}", f"ed25519:{public_hex(OTHER_KEY)}"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def unsigned(**manifest: Any) -> Files:
    """A package with a member of each kind: a pickle, a program and a folder among them."""
    return {
        **expert_files(manifest_v2(**manifest)),
        "README.md": f"an expert {json.dumps(manifest)}".encode(),
        "grammar.gbnf": b'root ::= "x"',
        "training_args.bin": b"a pickle",
        "tests/cases.json": b"[]",
    }


@functools.cache
def _signed(key: bytes, signature_file: bool, manifest: str) -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        files = unsigned(**json.loads(manifest))
        path = write_package(Path(folder) / "p.expert", files)
        sign_package(path, key, signature_file=signature_file, publisher="Ann")
        return members(path)


def signed(key: bytes = KEY, *, signature_file: bool = True, **manifest: Any) -> Files:
    """The members of that package, signed by the library."""
    return dict(_signed(key, signature_file, json.dumps(manifest)))


def members(path: Path) -> Files:
    """The members of an archive."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def hivellm_signed(key: bytes = KEY, **manifest: Any) -> Files:
    """The package as HiveLLM's tool signs it.

    Every file is hashed as it lies there, the manifest too; then ``integrity`` is filled in and
    the manifest written anew, in another form and without what that tool does not know.
    """
    files = unsigned(**manifest)
    digests = {name: sha256(data) for name, data in files.items()}
    signature = hivellm_signature(key, digests)
    record = json.loads(files["manifest.json"])
    record.pop("author")
    record["integrity"] = {
        "created_at": "2025-11-05T12:00:00.123456789+00:00",
        "publisher": "expert-cli",
        "pubkey": f"ed25519:{public_hex(key)}",
        "signature_algorithm": "ed25519",
        "signature": signature,
        "files": digests,
    }
    return {
        **files,
        "manifest.json": json.dumps(record, indent=2).encode(),
        SIG: signature.encode(),
    }


def hivellm_signature(key: bytes, digests: Mapping[str, str]) -> str:
    """The signature over ``path:sha256``, sorted by the paths' bytes, without a last line feed."""
    lines = (f"{name}:{digests[name]}" for name in sorted(digests, key=str.encode))
    return Ed25519PrivateKey.from_private_bytes(key).sign("\n".join(lines).encode()).hex()


def edited(files: Files, name: str, change: Callable[[dict[str, Any]], object]) -> Files:
    """``files`` with a JSON member changed."""
    record = json.loads(files[name])
    change(record)
    return {**files, name: json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n"}


def archive_of(path: Path, files: list[tuple[str, bytes]]) -> Path:
    """An archive with these members in this order, names repeated or not."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path
