"""Keys of converted adapters in the cache, and names of files. Making a key reads no tensor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..bases.parts import fingerprints
from ..cache.digests import digest_of
from ..cache.sources import source_of
from ..cache.store import Cache
from ..converters.forms.versions import LORA_VERSION, VARIANT_VERSION
from ..converters.gguf.header import GGUFHeader
from ..package.opening import Package
from .options import AdapterOptions
from .texts import texts_of

__all__ = ["SOFT_PROMPT_FILE", "form_key", "lora_key", "lora_key_on_copies", "weight_files"]

FORMS_VERSION = 2
"""Raised when the same input would get another form."""

SOFT_PROMPT_FILE = "prompt.safetensors"
"""The name of a soft prompt in its cache entry."""


def lora_key(package: Package, header: GGUFHeader) -> str:
    """The key of a plain LoRA, which does not depend on the base's weights."""
    return digest_of("lora", LORA_VERSION, package.digest, header.layout_digest)


def lora_key_on_copies(package: Package, header: GGUFHeader, base: Path, cache: Cache) -> str:
    """The key of a LoRA that was made beside copies of the base's weights."""
    return digest_of(lora_key(package, header), "on copies", *fingerprints(base, cache))


def form_key(
    package: Package, base: Path, cache: Cache, options: AdapterOptions, folder: Path | None
) -> str:
    """The key of a form that depends on the base's weights, the float ones in ``folder``."""
    versions = (FORMS_VERSION, LORA_VERSION, VARIANT_VERSION)
    return digest_of(
        *("adapter", versions, package.digest, *fingerprints(base, cache)),
        *(dataclasses.asdict(options), [source_of(path) for path in weight_files(folder)]),
        [dataclasses.astuple(text) for text in texts_of(package)[1]],
    )


def weight_files(folder: Path | None) -> list[Path]:
    """The safetensors of a base's Hugging Face folder."""
    return sorted(folder.glob("*.safetensors")) if folder else []
