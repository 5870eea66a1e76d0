"""What is remembered of an installation, beside the folder of the expert.

The registry has no place for it: HiveLLM's tool drops fields that it does not know. The record of
``experts/expert-sql/0.3.0/`` is ``experts/expert-sql/0.3.0.install.json``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..storage.whole_files import whole_file
from ..strict_json.parsing import MAX_BYTES, JsonError, parse_object

__all__ = ["RECORD_SUFFIX", "InstallRecord", "read_record", "record_of", "write_record"]

RECORD_SUFFIX = ".install.json"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class InstallRecord:
    """Where an installed expert comes from, and which bytes it has.

    ``source`` is what was asked for; ``pinned`` names the same bytes for ever: a commit in place
    of a branch. ``revision`` is that commit. ``sha256`` is the digest of the archive, None if
    it was no archive; ``files`` is one over all installed files. ``key`` is the public key of a
    signature that was valid, trusted or not. ``base`` is the base model's
    repository and commit that a lock file asked for. ``index`` is the index that named the
    source, if the expert was installed by its name: updates are looked for there.
    """

    source: str
    files: str
    pinned: str | None = None
    revision: str | None = None
    sha256: str | None = None
    key: str | None = None
    base: str | None = None
    index: str | None = None


def record_of(folder: Path) -> Path:
    """The place of the record of an installed ``folder``."""
    return folder.with_name(f"{folder.name}{RECORD_SUFFIX}")


def write_record(folder: Path, record: InstallRecord) -> None:
    """Write the record, whole or not at all. Raises OSError."""
    with whole_file(record_of(folder)) as file:
        file.write((json.dumps(dataclasses.asdict(record), indent=2) + "\n").encode())


def read_record(folder: Path) -> InstallRecord | None:
    """The record of an installed folder; None if there is none that can be understood."""
    if not folder.name:  # of a disk itself
        return None
    path = record_of(folder)
    try:
        with path.open("rb") as file:
            value = parse_object(file.read(MAX_BYTES + 1), source=str(path)).value
    except (OSError, JsonError):
        return None
    names = [field.name for field in dataclasses.fields(InstallRecord)]
    texts = {name: value.get(name) for name in names}
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        return None
    if texts["source"] is None or not _SHA256.fullmatch(texts["files"] or ""):
        return None
    return InstallRecord(**texts)  # type: ignore[arg-type]
