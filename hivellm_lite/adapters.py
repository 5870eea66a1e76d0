"""The adapter of a package as a GGUF file for one base, converted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cache import Cache, digest_of
from .package import Package

__all__ = ["AdapterFile", "prepare_adapter"]


@dataclass(frozen=True)
class AdapterFile:
    """A GGUF LoRA. ``report`` is what the conversion recorded: tensors, ranks, bytes."""

    path: Path
    report: Mapping[str, Any]
    converted: bool


def prepare_adapter(package: Package, base: Path, cache: Cache) -> AdapterFile:
    """Convert the package's adapter for the GGUF ``base``, or find the earlier result.

    The key holds the package's digest and the *layout* of the base (architecture,
    tensor names and shapes): a LoRA does not depend on the base's weights, so
    all quantisations of one base share it.

    Raises ConversionError for an adapter that is damaged, of another base, or
    of a kind that is not supported.
    """
    from .converters.gguf_header import read_gguf_header
    from .converters.lora import FORMAT_VERSION, convert_lora

    header = read_gguf_header(base)
    key = digest_of("lora", FORMAT_VERSION, package.digest, header.layout_digest)

    def build(folder: Path) -> dict[str, Any]:
        from .converters.peft import read_adapter

        info = package.manifest.adapters[0] if package.manifest.adapters else None
        adapter = read_adapter(
            package.adapter.weights,
            package.adapter.config,
            r=info.r if info else None,
            alpha=info.alpha if info else None,
        )
        report = convert_lora(adapter, header, folder / "adapter.gguf")
        facts = dataclasses.asdict(report)
        del facts["path"]
        return {"expert": package.manifest.identity, "adapter": {"method": "lora", **facts}}

    entry, built = cache.get_or_build("adapters", key, build, sources=[package.source])
    return AdapterFile(entry.path / "adapter.gguf", entry.info["adapter"], built)
