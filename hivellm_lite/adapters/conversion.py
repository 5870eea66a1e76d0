"""Converts a package's adapter for one base: the part of `prepare` that a later start leaves out.

It reads tensors, so it loads numpy and all that knows PEFT's formats.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..cache.entries import CacheEntry
from ..cache.sources import SourceWatch
from ..cache.store import Cache
from ..converters.forms.base_copies import on_its_copies
from ..converters.forms.fitting import find_targets
from ..converters.forms.weights import checkpoint_weights, gguf_weights
from ..converters.gguf.header import GGUFHeader
from ..converters.gguf.published_parts import published_parts
from ..converters.peft.adapter import Adapter, read_adapter
from ..converters.peft.methods.reader import Values
from ..package.opening import Package, check_unchanged
from ..progress import Progress
from .forms import FormBuilder
from .keys import form_key, lora_key, lora_key_on_copies, weight_files
from .options import AdapterOptions
from .plain_lora import LoraBuilder, becomes_lora
from .soft_prompt_conversion import SoftPromptBuilder, own_soft_prompt, soft_prompt_key

__all__ = ["becomes_lora", "convert_adapter", "read_package_adapter"]


def read_package_adapter(
    package: Package, base: GGUFHeader | None = None, *, values: Values = "keep"
) -> Adapter:
    """The adapter's tensors; ``values`` as for ``read_adapter``.

    With ``base``, all shapes are compared with the base before any number is read, so an
    adapter takes memory in proportion to its base. Raises ConversionError for an adapter that
    cannot be used.
    """
    info = package.manifest.adapters[0] if package.manifest.adapters else None
    read = functools.partial(
        read_adapter,
        package.adapter.weights,
        package.adapter.config,
        r=info.r if info else None,
        alpha=info.alpha if info else None,
    )
    if base is not None:
        find_targets(read(values="skip"), base)
    return read(values=values)


def convert_adapter(
    package: Package,
    base: Path,
    header: GGUFHeader,
    cache: Cache,
    options: AdapterOptions,
    *,
    state: SourceWatch,
    float_weights: Callable[[], Path | None],
    progress: Progress | None,
) -> tuple[CacheEntry, bool]:
    """The cache entry of the package's adapter on ``base``, and whether it was made just now.

    ``state`` watches the files of the base since before ``header`` was read. See
    `prepare_adapter` for ``float_weights`` and the errors.
    """
    key, sources = lora_key(package, header), [package.source]
    notes: tuple[str, ...] = ()
    builder: LoraBuilder | FormBuilder | SoftPromptBuilder
    if (own := own_soft_prompt(package)) is not None:
        key, builder = soft_prompt_key(package, own.name, header), SoftPromptBuilder(own, header)
    else:
        adapter = read_package_adapter(package, header)
        notes = adapter.notes
        if adapter.base_copies or not becomes_lora(adapter, header, options.mode):
            folder = float_weights()
            state = SourceWatch(lambda: [*published_parts(base), *weight_files(folder)])
            key_of_form = form_key(package, base, cache, options, folder)
        if adapter.base_copies:
            key = lora_key_on_copies(package, header, base, cache)
            for made in (key_of_form,) if options.mode == "exact" else (key, key_of_form):
                if (known := cache.reuse("adapters", made, sources=sources)) is not None:
                    return known, False
            with checkpoint_weights(folder) if folder else gguf_weights(base) as source:
                adapter = on_its_copies(adapter, header, source)
        if becomes_lora(adapter, header, options.mode):
            builder = LoraBuilder(adapter, header)
        else:
            key = key_of_form
            builder = FormBuilder(package, adapter, header, cache, options, folder, progress)

    def build(place: Path) -> dict[str, Any]:
        report = dataclasses.replace(builder.build(place), notes=notes)
        check_unchanged(package, cache)
        return {"expert": package.manifest.identity, "adapter": report.as_dict()}

    return cache.get_or_build("adapters", key, state.checked(build), sources=sources)
