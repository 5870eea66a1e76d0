"""Keys as texts and as files, in HiveLLM's form.

A private key is a file of 32 raw bytes. The public key stands beside it in ``NAME.pub`` as
``ed25519:HEX``. The private bytes are given to `ed25519.sign` and to nobody else; no message,
error or ``repr`` shows them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from pathlib import Path

from ..errors import SignatureError
from . import ed25519

__all__ = [
    "MAX_KEY_FILE_BYTES",
    "PREFIX",
    "key_text",
    "make_key_files",
    "parse_public_key",
    "public_key_place",
    "read_private_key",
    "read_public_key",
]

PREFIX = "ed25519:"

MAX_KEY_FILE_BYTES = 4096
"""Most that is read of a ``.pub`` file, which has 72 bytes."""

_PUBLIC = re.compile(r"(?:ed25519:)?([0-9a-fA-F]{64})")

logger = logging.getLogger("hivellm_lite")


def key_text(public_key: bytes) -> str:
    """``ed25519:HEX``, in lower case."""
    return f"{PREFIX}{public_key.hex()}"


def parse_public_key(text: str) -> bytes:
    """The key in ``ed25519:HEX`` or ``HEX``. Raises ValueError that says what is wrong."""
    match = _PUBLIC.fullmatch(text.strip())
    if match is None:
        # the text is not repeated: it may be a private key, taken for the public one
        raise ValueError("no public key, which is ed25519: and 64 hex digits")
    key = bytes.fromhex(match[1])
    ed25519.check_public_key(key)
    return key


def read_public_key(given: str) -> bytes:
    """The key that ``given`` is or whose ``.pub`` file it names. Raises SignatureError."""
    try:
        if _PUBLIC.fullmatch(given.strip()):
            return parse_public_key(given)
        place = Path(given).expanduser()
        with place.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES)
        return parse_public_key(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        problem = "no text; is it the private key? The public key is in the .pub file"
    except ValueError as error:
        problem = str(error)
    except OSError as error:
        problem = f"no key, and no file that can be read ({error.strerror or error})"
    raise SignatureError(f"{given:.200}: {problem}\nGive ed25519:HEX, or a .pub file.")


def read_private_key(place: Path) -> bytes:
    """The 32 bytes in the file. Warns if others may read it; raises SignatureError."""
    try:
        with place.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(ed25519.KEY_BYTES + 1)
    except OSError as error:
        raise SignatureError(
            f"cannot read the key {place}: {error.strerror or error}\n"
            "'hivellm-lite keygen KEY' makes one."
        ) from None
    if len(data) != ed25519.KEY_BYTES:
        found = "more" if len(data) > ed25519.KEY_BYTES else str(len(data))
        raise SignatureError(
            f"{place}: no private key: it has {found} bytes instead of {ed25519.KEY_BYTES}\n"
            "Give the file that 'keygen' wrote, not its .pub file."
        )
    if os.name != "nt" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning(
            "others on this machine may read the private key %s; 'chmod 600' makes it private",
            place,
        )
    return data


def public_key_place(place: Path) -> Path:
    """Where the public key of the private key at ``place`` is."""
    return place.with_suffix(".pub")


def make_key_files(place: Path) -> bytes:
    """Write a new key to ``place`` and its public key beside it; returns the public key.

    Nothing is ever overwritten, and after an error neither file is there. Raises SignatureError.
    """
    beside = public_key_place(place)
    if beside == place:
        raise SignatureError(
            f"{place}: this is the name of a public key\nName the private key without .pub."
        )
    private = ed25519.new_private_key()
    public = ed25519.public_key_of(private)
    written: list[Path] = []
    try:
        for path, data, mode in (
            (place, private, 0o600),
            (beside, key_text(public).encode(), 0o644),
        ):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            opened = os.open(path, flags, mode)
            written.append(path)
            with os.fdopen(opened, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    except BaseException as error:
        for path in written:
            with contextlib.suppress(OSError):
                path.unlink()
        if isinstance(error, FileExistsError):
            raise SignatureError(
                f"{error.filename} is there already\nName another file: keys are never overwritten."
            ) from None
        if isinstance(error, OSError):
            raise SignatureError(
                f"cannot write {error.filename or place}: {error.strerror or error}\n"
                "Check the folder and its permissions."
            ) from None
        raise
    return public
