"""The keys that this user trusts: a file ``NAME.pub`` for each, in ``trusted/`` of the home.

A key is trusted because its user says so; nothing else is asked. A file that holds no key is
reported and trusts nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..archive.limits import Refused
from ..archive.names import member_path
from ..errors import RegistryError, SignatureError
from ..expert_home import expert_home
from ..storage.whole_files import whole_file
from .keys import MAX_KEY_FILE_BYTES, key_text, parse_public_key

__all__ = ["TrustedKeys", "add_trusted", "remove_trusted", "trusted_folder", "trusted_keys"]

_SUFFIX = ".pub"

MAX_TRUSTED = 10_000
"""Files that are looked at."""

_NAME = re.compile(r"[^\W_][\w .@+-]{0,99}")


@dataclass(frozen=True)
class TrustedKeys:
    """``names`` by key (``ed25519:HEX``), and what is wrong with files that hold no key."""

    names: Mapping[str, str]
    problems: tuple[str, ...] = ()


def trusted_folder() -> Path:
    """Where the files are. The folder need not exist."""
    return expert_home() / "trusted"


def trusted_keys() -> TrustedKeys:
    """Every trusted key. A key with several names has the first of them.

    Where no folder is known or can be read, no key is trusted.
    """
    names: dict[str, str] = {}
    problems = []
    try:
        places = _files()
    except (SignatureError, RegistryError) as error:
        return TrustedKeys({}, (str(error),))
    for place in places:
        found = _key_or_problem(place)
        if isinstance(found, bytes):
            names.setdefault(key_text(found), place.name.removesuffix(_SUFFIX))
        else:
            problems.append(f"{place}: {found}; it trusts nothing")
    return TrustedKeys(names, tuple(problems))


def add_trusted(key: bytes, name: str | None) -> tuple[str, bool]:
    """Trust ``key`` under ``name``, by default its first digits.

    Returns the name and whether it is new. Raises SignatureError if the name is another key's.
    """
    name = _checked(key.hex()[:16] if name is None else name)
    place = trusted_folder() / f"{name}{_SUFFIX}"
    try:
        if place.exists():
            if _key_or_problem(place) != key:
                raise SignatureError(
                    f"another key is trusted as {name!r} already\n"
                    f"Give this one another name (--name), or: trust remove {name}"
                )
            return name, False
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as file:
            file.write(f"{key_text(key)}\n".encode())
    except OSError as error:
        raise _unusable(error) from None
    return name, True


def remove_trusted(given: str) -> tuple[str, ...]:
    """Trust the key, or the key of this name, no longer; returns all names of it that are gone.

    Raises SignatureError if there is none.
    """
    try:
        key: bytes | None = parse_public_key(given)
    except ValueError:
        key = None
    gone = []
    try:
        files = {place: place.name.removesuffix(_SUFFIX) for place in _files()}
        if key is None:
            found = (_key_or_problem(place) for place, name in files.items() if name == given)
            key = next((one for one in found if isinstance(one, bytes)), None)
        for place, name in files.items():
            if name == given or (key is not None and _key_or_problem(place) == key):
                place.unlink()
                gone.append(name)
    except OSError as error:
        raise _unusable(error) from None
    if not gone:
        raise SignatureError(
            f"no trusted key has the name or the value {given!r:.200}\n"
            "'hivellm-lite trust list' shows them."
        )
    return tuple(gone)


def _files() -> list[Path]:
    try:
        found = sorted(path for path in trusted_folder().iterdir() if path.suffix == _SUFFIX)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(error) from None
    # what is being written begins with a dot
    return [path for path in found if not path.name.startswith(".")][:MAX_TRUSTED]


def _key_or_problem(place: Path) -> bytes | str:
    """The key in the file, or why it has none."""
    try:
        if not stat.S_ISREG(place.stat().st_mode):  # a pipe would be waited for
            return "no file"
        with place.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES)
        return parse_public_key(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return "no text, but a .pub file holds ed25519: and 64 hex digits"
    except ValueError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def _checked(name: str) -> str:
    try:
        path = member_path(f"{name}{_SUFFIX}")
    except Refused as error:
        raise SignatureError(f"{error}\nName the key with letters and digits.") from None
    if path != f"{name}{_SUFFIX}" or "/" in path or os.sep in path or not _NAME.fullmatch(name):
        raise SignatureError(
            f"{name!r:.120} cannot be the name of a key\n"
            "Use letters, digits, blanks and . - _ + @, at most 100."
        )
    return name


def _unusable(error: OSError) -> SignatureError:
    return SignatureError(
        f"cannot use the folder of trusted keys: {error.filename or trusted_folder()}: "
        f"{error.strerror or error}\nCheck its permissions, or set HIVELLM_EXPERTS."
    )
