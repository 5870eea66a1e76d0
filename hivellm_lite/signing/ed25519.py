"""Ed25519 through ``cryptography``, which is imported only when a signature is made or checked.

``cryptography`` accepts public keys of small order. For such a key some signatures fit many
messages, and for some of them anybody can make one, so they are refused here.
"""

from __future__ import annotations

import importlib.util

from ..errors import SignatureError

__all__ = [
    "KEY_BYTES",
    "SIGNATURE_BYTES",
    "check_public_key",
    "fits",
    "is_available",
    "new_private_key",
    "public_key_of",
    "sign",
]

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_PRIME = 2**255 - 19

_SMALL_ORDER = (
    *(0, 1, _PRIME - 1),
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
)
"""The y coordinates of the points whose order divides 8, of either sign of x."""


def is_available() -> bool:
    """Whether ``cryptography`` can be imported."""
    try:
        return importlib.util.find_spec("cryptography") is not None
    except (ImportError, ValueError):
        return False


def new_private_key() -> bytes:
    """32 random bytes. Raises SignatureError without ``cryptography``."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    """The public key, 32 bytes. Raises SignatureError without ``cryptography``."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def sign(private_key: bytes, message: bytes) -> bytes:
    """The signature, 64 bytes. Raises SignatureError without ``cryptography``."""
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private_key).sign(message)


def fits(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature was made for ``message`` with the other half of ``public_key``.

    Raises SignatureError without ``cryptography``.
    """
    _require()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        check_public_key(public_key)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_public_key(key: bytes) -> None:
    """Raise ValueError for what can be no honest key: a wrong length, or a point of small order."""
    if len(key) != KEY_BYTES:
        raise ValueError(f"{len(key)} bytes; an Ed25519 key has {KEY_BYTES}")
    y = int.from_bytes(key, "little") & (2**255 - 1)
    if y >= _PRIME:
        raise ValueError("no Ed25519 key: its number is too large")
    if y in _SMALL_ORDER:
        raise ValueError("a key of small order, for which anybody can make signatures")


def _require() -> None:
    if not is_available():
        raise SignatureError(
            "cryptography is not installed, which makes and checks signatures\n"
            "Install it: pip install 'hivellm-lite[signing]'"
        )
