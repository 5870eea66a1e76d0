"""Whether the signatures of a package fit what it holds, and whose they are.

A pure function: what is in the package, and which keys are trusted, go in; a report comes out, or
SignatureError for anything that does not fit. All members count, also the ones that are never
unpacked::

    report = verify_signatures(contents, {"ed25519:…": "hivellm"}, source="sql.expert")
    report.state         # "signed"
    report.trusted_as    # "hivellm", or None
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..archive.names import is_desktop_litter, never_unpacked
from ..errors import SignatureError
from ..strict_json.parsing import JsonError, JsonObject, parse_object, repeated_key, shown
from . import ed25519
from .hivellm_signature import HiveLLMSignature, read_hivellm_signature, read_signature_file
from .keys import key_text
from .messages import (
    MANIFEST,
    MARKER,
    PACKAGE_SIGNATURE,
    SIGNATURE_FILE,
    SIGNATURE_MEMBERS,
    hivellm_message,
)
from .package_signature import PackageSignature, read_package_signature

__all__ = [
    "MANIFEST_NOT_COVERED",
    "UNSIGNED",
    "SignatureReport",
    "SignedContents",
    "claims_signature",
    "verify_signatures",
]

MANIFEST_NOT_COVERED = (
    "HiveLLM's signature does not cover manifest.json: anybody could have changed the name, the "
    "version, the base, the defaults and everything else in it"
)
"""The one reservation that HiveLLM's format forces."""

_SHOWN = 5
"""Members that one error names."""


@dataclass(frozen=True)
class SignatureReport:
    """What the signatures of a package say.

    ``state`` is ``"signed"`` if every signature fits, ``"unsigned"`` if there is none, and
    ``"not verified"`` where ``cryptography`` is missing or nobody wanted to know. ``kinds`` are
    ``"hivellm"`` and ``"package"``. ``key`` is ``ed25519:HEX``; ``trusted_as`` is the name under
    which the user trusts it, or None. ``publisher`` is what the manifest calls its publisher: a
    word of the key's owner only where the package signature covers the manifest. ``reservations``
    are sentences about what the signatures do not cover.
    """

    state: Literal["unsigned", "signed", "not verified"]
    kinds: tuple[str, ...] = ()
    key: str | None = None
    trusted_as: str | None = None
    publisher: str | None = None
    signed_at: str | None = None
    reservations: tuple[str, ...] = ()


UNSIGNED = SignatureReport("unsigned")


@dataclass(frozen=True)
class SignedContents:
    """What is signed, and the signatures.

    ``digests`` gives the SHA-256 of every member, ``repeated`` the names that occur more than
    once. ``is_folder``: members that are never unpacked may be missing, as they are where an
    archive was unpacked, unless they are ``needed``. ``signature_file`` and ``package_signature``
    are the bytes of these members, or None.
    """

    digests: Mapping[str, str]
    manifest: bytes
    signature_file: bytes | None
    package_signature: bytes | None
    repeated: tuple[str, ...] = ()
    is_folder: bool = False
    needed: frozenset[str] = frozenset()

    def may_lack(self, name: str) -> bool:
        """Whether this member may be missing although it was signed."""
        stays_packed = never_unpacked(name) or is_desktop_litter(name)
        return self.is_folder and stays_packed and name not in self.needed


def claims_signature(manifest: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a package says that it is signed, by its manifest or by the names of its members."""
    integrity = manifest.get("integrity")
    if any(name in SIGNATURE_MEMBERS for name in names):
        return True
    if not isinstance(integrity, dict):
        return False
    files = integrity.get("files")
    listed = files if isinstance(files, dict) else {}
    return integrity.get("signature") not in (None, "") or any(
        name in listed for name in SIGNATURE_MEMBERS
    )


def verify_signatures(
    contents: SignedContents, trusted: Mapping[str, str], *, source: str
) -> SignatureReport:
    """What the signatures say; ``trusted`` gives the name of each trusted key.

    Raises SignatureError, which names ``source``, if a signature does not fit, or if anything in
    the package is not covered that should be.
    """
    try:
        return _verified(contents, trusted)
    except ValueError as error:
        raise SignatureError(
            f"{source}: its signature does not fit: {error}\n"
            "The package was changed after it was signed, or was signed wrongly. Get it again from "
            "its author; a file that only this machine added can be removed."
        ) from None


def _verified(contents: SignedContents, trusted: Mapping[str, str]) -> SignatureReport:
    """Raises ValueError that says what does not fit."""
    document = _document(contents.manifest)
    manifest = document.value
    if not claims_signature(manifest, contents.digests):
        return UNSIGNED
    if (key := repeated_key(document)) is not None:
        raise ValueError(f"the key {shown(key)} stands twice in one object of {MANIFEST}")
    if contents.repeated:
        raise ValueError(f"the archive holds two members called {_listed(contents.repeated)}")
    hivellm = _hivellm_signature(manifest, contents)
    package = _package_signature(manifest, contents, hivellm)
    if hivellm is not None and package is not None and hivellm.key != package.key:
        raise ValueError(f"{MANIFEST} and {PACKAGE_SIGNATURE} are signed by different keys")
    one = package or hivellm
    if one is None:
        raise ValueError(f"{SIGNATURE_FILE} is there, but no signature in {MANIFEST}")
    ed25519.check_public_key(one.key)
    integrity = manifest.get("integrity")
    publisher = integrity.get("publisher") if isinstance(integrity, dict) else None
    kinds = [("hivellm", hivellm), ("package", package)]
    key_as_text = key_text(one.key)
    return SignatureReport(
        state="signed" if ed25519.is_available() else "not verified",
        kinds=tuple(kind for kind, signature in kinds if signature is not None),
        key=key_as_text,
        trusted_as=trusted.get(key_as_text),
        publisher=publisher if isinstance(publisher, str) else None,
        signed_at=one.signed_at if isinstance(one, PackageSignature) else one.created_at,
        reservations=() if package is not None else (MANIFEST_NOT_COVERED,),
    )


def _document(manifest: bytes) -> JsonObject:
    try:
        return parse_object(manifest, source=MANIFEST)
    except JsonError as error:
        raise ValueError(str(error)) from None


def _hivellm_signature(
    manifest: Mapping[str, Any], contents: SignedContents
) -> HiveLLMSignature | None:
    """HiveLLM's signature, if there is one, after everything about it was checked."""
    integrity = manifest.get("integrity")
    if not isinstance(integrity, dict) or integrity.get("signature") in (None, ""):
        return None
    found = read_hivellm_signature(integrity)
    # its own digest of the manifest is of what the manifest was before; a package that is
    # signed again lists the signature that it had before
    uncompared = {MANIFEST, SIGNATURE_FILE}
    if MANIFEST not in found.files:
        raise ValueError(f"{MANIFEST} is not listed in integrity.files")
    _compare(found.files, contents, uncompared, {*uncompared, PACKAGE_SIGNATURE}, "integrity.files")
    if contents.signature_file is not None:
        if read_signature_file(contents.signature_file) != found.signature:
            raise ValueError(f"{SIGNATURE_FILE} is not the signature in {MANIFEST}")
    elif SIGNATURE_FILE in contents.digests:
        raise ValueError(f"{SIGNATURE_FILE} cannot be read")
    _check(found.key, found.signature, hivellm_message(found.files), f"integrity of {MANIFEST}")
    return found


def _package_signature(
    manifest: Mapping[str, Any], contents: SignedContents, hivellm: HiveLLMSignature | None
) -> PackageSignature | None:
    """The package signature, if there is one, after everything about it was checked."""
    data = contents.package_signature
    if data is None:
        listed = {} if hivellm is None else hivellm.files
        names = {*contents.digests, *listed}
        if MARKER in names or PACKAGE_SIGNATURE in names:
            raise ValueError(f"{PACKAGE_SIGNATURE} is missing: somebody removed it")
        return None
    found = read_package_signature(data)
    for name, signed in (("name", found.name), ("version", found.version)):
        if manifest.get(name) != signed:
            raise ValueError(
                f"it was signed as {name} {shown(signed)}, but {MANIFEST} says "
                f"{shown(manifest.get(name))}"
            )
    _compare(found.files, contents, {PACKAGE_SIGNATURE}, {PACKAGE_SIGNATURE}, PACKAGE_SIGNATURE)
    _check(found.key, found.signature, found.message, PACKAGE_SIGNATURE)
    return found


def _compare(
    listed: Mapping[str, str],
    contents: SignedContents,
    uncompared: set[str],
    unlisted: set[str],
    where: str,
) -> None:
    """Raise ValueError unless ``listed`` and the members agree.

    ``uncompared`` may have any digest, and ``unlisted`` need not be listed.
    """
    digests = contents.digests
    if extra := digests.keys() - listed.keys() - unlisted:
        raise ValueError(f"not listed in {where}: {_listed(extra)}")
    changed = [
        name
        for name in listed.keys() & digests.keys() - uncompared
        if listed[name] != digests[name]
    ]
    if changed:
        raise ValueError(f"changed since it was signed ({where}): {_listed(changed)}")
    missing = {
        name for name in listed.keys() - digests.keys() - uncompared if not contents.may_lack(name)
    }
    if missing:
        raise ValueError(f"missing, but listed in {where}: {_listed(missing)}")


def _check(key: bytes, signature: bytes, message: bytes, where: str) -> None:
    ed25519.check_public_key(key)
    if ed25519.is_available() and not ed25519.fits(key, signature, message):
        raise ValueError(f"the signature in {where} was not made by its key for these files")


def _listed(names: Iterable[str]) -> str:
    """Some of the names, in an order that does not depend on chance."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(shown(name) for name in ordered[:_SHOWN]) + more
