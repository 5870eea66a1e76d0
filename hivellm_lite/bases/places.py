"""Where a base may be: the place that a caller names, and the folders for models."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..cache.folder import CacheFolder
from ..converters.gguf.published_parts import first_parts
from ..errors import RegistryError
from ..expert_home import expert_home
from ..hub import HubReference, parse_reference
from ..user_paths import is_folder, path_exists, user_path

__all__ = ["gguf_models", "given_reference", "model_folders", "named_in", "split_model"]


def given_reference(given: str | os.PathLike[str]) -> HubReference | None:
    """The repository that the caller names; None for a path, and for anything that exists here."""
    if not isinstance(given, str) or path_exists(user_path(given)):
        return None
    if split_model(user_path(given)) is not None:
        return None
    return parse_reference(given)


def split_model(path: Path) -> Path | None:
    """The first file of a model in parts that is named without a part's number; or None.

    The file may be missing, if others are there.
    """
    if path_exists(path) or not is_folder(path.parent):
        return None
    names = sorted(file.name for file in path.parent.iterdir())
    found = first_parts(names, path.name)
    return path.with_name(found[0]) if len(found) == 1 else None


def gguf_models(folder: Path) -> list[str]:
    """The .gguf files in ``folder``, one name for each model: its first part, or its only file.

    Image encoders (``mmproj``) beside a model are left out.
    """
    models = first_parts(sorted(file.name for file in folder.glob("*.gguf")))
    if len(models) > 1:
        models = [name for name in models if "mmproj" not in name.lower()] or models
    return models


def model_folders(cache: CacheFolder) -> Iterator[Path]:
    """The folders of ``HIVELLM_MODELS``, then ``models/`` in the cache folder, then those that
    HiveLLM's own tool uses: ``EXPERT_MODELS_PATH``, or ``models/`` beside the installed experts.
    """
    for text in os.environ.get("HIVELLM_MODELS", "").split(os.pathsep):
        if text:
            yield user_path(text)
    yield cache.root / "models"
    if named := os.environ.get("EXPERT_MODELS_PATH"):
        yield user_path(named)
    with contextlib.suppress(RegistryError):  # no home folder
        yield expert_home() / "models"


def named_in(folder: Path, name: str, *, folders: bool = False) -> Path | None:
    """The file or folder called ``name`` in ``folder``, or a file ``name….gguf``, in any case.

    ``folders``: return folders only. None if there is none.
    """
    if not is_folder(folder):
        return None
    wanted = name.lower()
    entries = [e for e in sorted(folder.iterdir()) if e.is_dir() or not folders]
    for entry in entries:
        if entry.name.lower() in (wanted, f"{wanted}.gguf"):
            return entry
    return next(
        (e for e in entries if e.suffix == ".gguf" and e.name.lower().startswith(wanted)), None
    )
