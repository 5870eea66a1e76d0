"""Which names an archive may use, and which files stay in it.

A name must be safe on every system, and so must each pair of names: two names that Linux keeps
apart may mean one file on macOS and Windows.
"""

from __future__ import annotations

import re
import unicodedata

from .limits import LIMITS, Limits, Refused

__all__ = [
    "TakenNames",
    "is_desktop_litter",
    "is_program",
    "kind_never_unpacked",
    "member_path",
    "never_unpacked",
]

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_PROGRAMS = (
    *(".py", ".pyc", ".pyd", ".sh", ".so", ".dylib", ".dll", ".exe", ".com", ".bat", ".cmd"),
    *(".ps1", ".vbs", ".js", ".jar", ".msi"),
)
_NEVER_UNPACKED = {
    "a pickle": _PICKLES,
    "a program": _PROGRAMS,
    # llama.cpp's GGUF parser is not hardened against hostile files.
    "a GGUF file": (".gguf",),
}

_PROGRAM_MAGIC = (
    *(b"\x7fELF", b"MZ", b"GGUF", b"\xca\xfe\xba\xbe"),
    *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
)

_DESKTOP_LITTER = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Thumbs\.db$)")

_WINDOWS_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\..*)?", re.IGNORECASE
)
"""See https://learn.microsoft.com/windows/win32/fileio/naming-a-file, which counts superscripts."""

_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$')


def never_unpacked(name: str) -> bool:
    """Whether a file of this name stays in the archive: pickles, programs, GGUF."""
    return kind_never_unpacked(name) is not None


def kind_never_unpacked(name: str) -> str | None:
    """What a file that stays in the archive is, by its name; None for all others."""
    low = name.lower()
    return next((kind for kind, ends in _NEVER_UNPACKED.items() if low.endswith(ends)), None)


def is_program(path: str, head: bytes) -> bool:
    """Whether a file that starts with ``head`` is a program, or GGUF, under another name."""
    # The first bytes of safetensors are a length, which may spell "MZ".
    return not path.endswith(".safetensors") and head.startswith(_PROGRAM_MAGIC)


def is_desktop_litter(path: str) -> bool:
    """Whether macOS or Windows added the file to an archive made by hand."""
    return _DESKTOP_LITTER.search(path) is not None


def member_path(name: str, limits: Limits = LIMITS) -> str:
    """``name`` without leading ``./`` if it is safe on every system; raises Refused."""
    path = re.sub(r"^(\./+)+", "", name)
    parts = path.split("/")
    if not name.isprintable() or "\\" in name:
        raise Refused(f"{name!r}: a control character, backslash or undecodable byte in a name")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise Refused(f"{name!r}: an absolute path")
    if ".." in parts:
        raise Refused(f"{name!r}: a path that leaves the package")
    if "" in parts or "." in parts:
        raise Refused(f"{name!r}: an empty name in a path")
    if len(parts) > limits.depth:
        raise Refused(f"{path[:80]!r}…: more than {limits.depth} folders deep")
    if len(path.encode()) > limits.path_bytes:
        raise Refused(f"{path[:80]!r}…: a path of over {limits.path_bytes} bytes")
    for part in parts:
        if _WINDOWS_DEVICE.fullmatch(part) or _NOT_ON_WINDOWS.search(part):
            raise Refused(f"{name!r}: a name that Windows cannot store")
    return path


class TakenNames:
    """The names of an archive so far, as a file system sees them that ignores case."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, bool]] = {}

    def claim(self, path: str) -> None:
        """Note the name and its folders; raises Refused if one stands for something else."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name, is_file = "/".join(parts[:depth]), depth == len(parts)
            folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
            other, other_is_file = self._taken.setdefault(folded, (name, is_file))
            if other != name:
                raise Refused(f"{name!r} and {other!r}: names that differ only in case")
            if other_is_file != is_file:
                raise Refused(f"{name!r}: a file and a folder of the same name")
