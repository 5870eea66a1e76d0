"""Finds the adapter of a package, wherever its packager put it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import PackageError
from ..manifest.records import AdapterInfo, Manifest
from .files import CONFIG, MLX_WEIGHTS, NAMES_SHOWN, WEIGHTS, file_in, relative_to_root, safe_path
from .walking import entries_below

__all__ = ["AdapterFiles", "NoAdapterError", "find_adapter"]

_ADAPTER_FOLDERS = ("", "weights/adapter", "adapter")
"""Where packagers, old and new, put the adapter, whatever path the manifest gives."""


class NoAdapterError(PackageError):
    """A package without an adapter."""


@dataclass(frozen=True)
class AdapterFiles:
    """``adapter_model.safetensors`` and, where there is one, ``adapter_config.json``.

    mlx-lm calls the first one ``adapters.safetensors``.
    """

    weights: Path
    config: Path | None


def find_adapter(
    source: Path, root: Path, manifest: Manifest, skipped: tuple[str, ...]
) -> tuple[AdapterFiles, AdapterInfo | None]:
    """The adapter's files, and the manifest's entry for them."""
    only = manifest.adapters[0] if len(manifest.adapters) == 1 else None
    places: list[tuple[str, AdapterInfo | None]] = [
        (f"{folder}{info.path}", info)
        for info in manifest.adapters
        if info.path
        for folder in ("", "weights/")
    ]
    places += [(folder, only) for folder in _ADAPTER_FOLDERS]
    for place, info in places:
        if (weights := _weights_at(root, place)) is not None:
            return _adapter_files(root, weights), info
    found = _called(WEIGHTS, root)
    if len(found) == 1 and (weights := file_in(root, found[0])) is not None:
        return _adapter_files(root, weights), only
    if found:
        raise PackageError(
            f"{source}: {len(found)} adapters and no word on which to use\n"
            f"Found {', '.join(found[:NAMES_SHOWN])}\nName one in adapters[0].path."
        )
    raise _no_adapter(source, root, [place for place, _ in places], skipped)


def _called(name: str, root: Path) -> list[str]:
    return sorted(relative_to_root(path, root) for path in entries_below(root) if path.name == name)


def _weights_at(root: Path, place: str) -> Path | None:
    """``place`` may be a .safetensors file or a folder that holds an adapter; None if neither."""
    if (path := safe_path(place) if place else ".") is None:
        return None
    if path.endswith(".safetensors") and (weights := file_in(root, path)) is not None:
        return weights
    return file_in(root, f"{path}/{WEIGHTS}") or file_in(root, f"{path}/{MLX_WEIGHTS}")


def _adapter_files(root: Path, weights: Path) -> AdapterFiles:
    config = relative_to_root(weights.with_name(CONFIG), root)
    return AdapterFiles(weights, file_in(root, config))


def _no_adapter(
    source: Path, root: Path, places: list[str], skipped: tuple[str, ...]
) -> NoAdapterError:
    names = [place[:80] or "the top folder" for place in dict.fromkeys(places)]
    looked = ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
    pickles = [name for name in skipped if Path(name).name == "adapter_model.bin"]
    pickles += _called("adapter_model.bin", root)
    if pickles:
        advice = (
            f"{pickles[0]} is a pickle, which can run code and is never opened. Save it again "
            "with PEFT: model.save_pretrained(folder, safe_serialization=True)"
        )
    else:
        advice = "Save the adapter with PEFT's save_pretrained and package that folder."
    return NoAdapterError(f"{source}: no {WEIGHTS}\nLooked in {looked}\n{advice}")
