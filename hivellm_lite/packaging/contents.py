"""Chooses what of an author's folder goes into the archive.

A folder in which somebody trained holds much that is of no use to others, or that tells of the
author's machine. It stays where it is, and the author is told why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..archive.limits import Refused
from ..archive.names import is_desktop_litter, is_program, kind_never_unpacked, member_path
from ..converters.checkpoints.index import CONFIG, INDEX, SMALL_FILES, weight_files
from ..errors import PackageError
from ..package.files import MANIFEST, check_folder, file_in, read_in, relative_to_root
from ..package.opening import AdapterFiles, Package, SoftPromptFiles
from ..package.walking import MAX_DEPTH
from ..signing.messages import SIGNATURE_MEMBERS
from .schema import SCHEMA_FILE

__all__ = ["Contents", "choose_contents"]

BASE = "base"

_CHECKPOINT = re.compile(r"checkpoint-\d+")
_LOG_FOLDERS = ("runs", "logs", "wandb", "mlruns", "tensorboard")
_LOGS = ("trainer_state.json", "trainer_log.jsonl", "training_args.json", "training_args.yaml")
_LOG_START = "events.out.tfevents."

_HEAD = 16
"""Bytes that show a program."""


@dataclass(frozen=True)
class Contents:
    """``files`` by their paths in the archive, the manifest excepted. ``left_out``: path (of a
    folder with ``/`` at its end) and reason.
    """

    files: dict[str, Path]
    left_out: tuple[tuple[str, str], ...]


def choose_contents(package: Package, base_folder: Path | None = None) -> Contents:
    """The files of ``package``, an opened folder, and of the base in another folder, if given.

    Raises PackageError for a base that is none or that holds links out of its folder, and
    ConversionError for a base without weights.
    """
    wanted = {relative_to_root(path, package.root): path for path in _needed(package)}
    left_out: dict[str, str] = {}
    inside = base_folder is None and package.base_folder is not None
    base = _base_files(package.root / BASE if inside else base_folder)
    for path, file in _walk(package.root, wanted, left_out):
        if path in wanted or path == MANIFEST:
            continue
        if path.startswith(f"{BASE}/") and (inside or base_folder is not None):
            if path not in base:
                left_out[path] = "no conversion of a base needs it" if inside else "--base-folder"
        elif (reason := _reason(path, file, package.root)) is not None:
            left_out[path] = reason
        else:
            wanted[path] = file
    return Contents({**wanted, **base}, tuple(left_out.items()))


def _needed(package: Package) -> Iterator[Path]:
    """What loading opens, whatever its name."""
    parts: list[AdapterFiles | SoftPromptFiles] = [package.adapter, *package.soft_prompts]
    for part in parts:
        yield part.weights
        if part.config is not None:
            yield part.config
    if package.grammar is not None:
        yield package.grammar


def _base_files(folder: Path | None) -> dict[str, Path]:
    """Configuration, tokenizer and weights of a Hugging Face folder."""
    if folder is None:
        return {}
    if check_folder(folder, ".") is None or not (folder / CONFIG).is_file():
        raise PackageError(
            f"{folder}: no Hugging Face folder of a base model: it has no {CONFIG}\n"
            "A GGUF file cannot be packed: name the base in the manifest instead."
        )
    weights, index = weight_files(folder)
    small = [name for name in SMALL_FILES if index or name != INDEX]
    names = [*(name for name in small if (folder / name).is_file()), *weights]
    return {f"{BASE}/{name}": folder / name for name in names}


def _walk(
    root: Path, wanted: dict[str, Path], left_out: dict[str, str]
) -> Iterator[tuple[str, Path]]:
    """Every file with its path, in order. Folders that nobody needs go to ``left_out`` whole."""

    def note(error: OSError) -> None:
        path = relative_to_root(Path(error.filename), root)
        left_out[f"{path}/"] = f"it cannot be read: {error.strerror or error}"

    for place, folders, names in os.walk(root, onerror=note):
        here = Path(place)
        for name in sorted(folders):
            path = relative_to_root(here / name, root)
            reason = _folder_reason(here / name, path.count("/"))
            if reason is not None and not any(file.startswith(f"{path}/") for file in wanted):
                left_out[f"{path}/"] = reason
                folders.remove(name)
        folders.sort()
        for name in sorted(names):
            yield relative_to_root(here / name, root), here / name


def _folder_reason(folder: Path, depth: int) -> str | None:
    if depth > MAX_DEPTH:
        return f"more than {MAX_DEPTH} folders deep"
    if folder.is_symlink():
        return "a link to a folder"
    if folder.name.startswith("."):
        return "hidden"
    if folder.name in ("__pycache__", "__MACOSX"):
        return "made by a program for itself"
    if _CHECKPOINT.fullmatch(folder.name):
        return "a checkpoint of the training"
    if folder.name in _LOG_FOLDERS:
        return "logs of the training"
    return None


def _reason(path: str, file: Path, root: Path) -> str | None:
    """Why a file that loading does not open is left out; None if it does no harm."""
    name = file.name
    if name.startswith(".") or is_desktop_litter(path):
        return "hidden, or left by a desktop"
    if (kind := kind_never_unpacked(path)) is not None:
        return f"{kind}: it would never be unpacked"
    if path in SIGNATURE_MEMBERS:
        return "a signature of the package as it was"
    if path == SCHEMA_FILE:
        return "for editors"
    if name in _LOGS or name.startswith(_LOG_START):
        return "a log of the training"
    if name.endswith((".expert", ".sha256")):
        return "a package, or its digest file"
    if name.endswith(".safetensors"):
        return "weights that loading does not open"
    try:
        member_path(path)
        if file_in(root, path) is None:
            return "no regular file"
        if is_program(path, read_in(root, file, _HEAD)):
            return "a program: it would never be unpacked"
    except Refused as error:
        return f"a name that no archive may hold ({error})"
    except PackageError:
        return "a link that leads out of the folder"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None
