"""The manifest as it goes into an archive: schema 2.0, with the truth about the adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..manifest.records import AdapterInfo, Manifest
from ..package.adapter import find_adapter
from ..package.files import relative_to_root
from ..package.opening import Package

__all__ = ["final_manifest", "manifest_text"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)


def final_manifest(package: Package, digest: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The manifest of ``package``, an opened folder, and what was changed in it.

    ``digest`` is the SHA-256 of the adapter's file. Unknown keys are kept.
    """
    raw: dict[str, Any] = json.loads(json.dumps(package.manifest.raw))
    notes: list[str] = []
    if package.manifest.schema_version == "1.0":
        raw = _as_schema_2(raw)
        notes.append("the manifest was converted from schema 1.0 to 2.0")
    if raw.get("base_model", ...) is None:
        del raw["base_model"]
    raw.pop("integrity", None)  # it would fit no more
    schema = raw.get("$schema")
    if isinstance(schema, str) and not _ADDRESS.match(schema):
        del raw["$schema"]
    notes += _tell_of_adapter(raw["base_models"][0], package, digest)
    return raw, tuple(notes)


def manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest, as all packagers write it: indented UTF-8."""
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def _as_schema_2(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Schema 1.0 has one base and, beside it, the adapters; 2.0 has them inside of the base."""
    adapters = raw.get("adapters")
    own = {} if adapters is None else {"adapters": adapters}
    has_number = "schema_version" in raw
    result: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "base_model":
            result["base_models"] = [{**value, **own}]
        elif key == "schema_version":
            result[key] = "2.0"
        elif key not in ("adapters", "base_models"):
            result[key] = value
        if key == "version" and not has_number:
            result["schema_version"] = "2.0"
    return result


def _tell_of_adapter(base: dict[str, Any], package: Package, digest: str) -> list[str]:
    """Fill in digest, size and place of the adapter; what was wrong in words."""
    weights = package.adapter.weights
    if any(one.weights == weights for one in package.soft_prompts):
        return []  # listed under soft_prompts, where the format has no digest
    _, info = find_adapter(package.source, package.root, package.manifest, ())
    index = _index(package.manifest, info)
    if index is None and package.manifest.adapters:
        return ["the manifest lists several adapters and names none: no digest was filled in"]
    if index is None:
        base["adapters"], index = [{}], 0
    entry = base["adapters"][index]
    entry["sha256"], entry["size_bytes"] = digest, weights.stat().st_size
    return _true_path(entry, package)


def _index(manifest: Manifest, info: AdapterInfo | None) -> int | None:
    return next((i for i, one in enumerate(manifest.adapters) if one is info), None)


def _true_path(entry: dict[str, Any], package: Package) -> list[str]:
    """Correct ``path``, which older packagers wrote as it was on the author's disk."""
    file = relative_to_root(package.adapter.weights, package.root)
    folder = relative_to_root(package.adapter.weights.parent, package.root)
    said = str(entry.get("path") or ".").replace("\\", "/").rstrip("/").removeprefix("./") or "."
    if said in (folder, file):
        return []
    if folder == ".":
        del entry["path"]
    else:
        entry["path"] = folder
    return [f"adapters[].path was {said!r:.80}, where no adapter is: it was corrected"]
