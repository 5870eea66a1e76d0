"""Makes a package's adapter ready for one base: converted once, to the form that fits.

There are four forms:

*lora*: a GGUF LoRA, exact. For adapters that are exactly low rank.
*low-rank*: a GGUF LoRA that approximates other adapters (DoRA, IA³ …), with a measured
loss. A tenth of a variant's size, and the natural form on a quantised base.
*variant*: the changed tensors, merged, beside the shared parts of the base. Exact for
every adapter, up to the type that the tensors are stored at, and without cost per token.
*soft-prompt*: rows of embeddings, exact. For PEFT's prompt tuning and P-tuning.

`plain_lora` makes the first form, `soft_prompts` the last. `forms` chooses between the others and
reports the loss.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bases.parts import base_parts, fingerprints
from ..cache.digests import digest_of
from ..cache.entries import CacheEntry
from ..cache.sources import SourceWatch, source_of
from ..cache.store import Cache
from ..converters.forms import lora, variant
from ..converters.forms.base_copies import on_its_copies
from ..converters.forms.fitting import find_targets
from ..converters.forms.variant import loading_order
from ..converters.forms.weights import checkpoint_weights, gguf_weights
from ..converters.gguf.check import check_model
from ..converters.gguf.header import GGUFHeader, read_gguf_header
from ..converters.gguf.published_parts import published_parts
from ..converters.peft.adapter import Adapter, read_adapter
from ..converters.peft.methods.reader import Values
from ..package.opening import Package, check_unchanged
from ..progress import Progress
from .forms import FORMS_VERSION, FormBuilder
from .loss import AdapterLoss, is_recorded
from .options import AdapterOptions
from .plain_lora import LoraBuilder, becomes_lora
from .report import AdapterReport, Form, SoftPromptReport, VariantAdapterReport, report_from
from .soft_prompts import FILE, SoftPromptBuilder, own_soft_prompt, soft_prompt_key
from .texts import texts_of

logger = logging.getLogger("hivellm_lite")

__all__ = [
    "AdapterOptions",
    "PreparedAdapter",
    "becomes_lora",
    "earlier_conversions",
    "prepare_adapter",
    "read_package_adapter",
]


@dataclass(frozen=True)
class PreparedAdapter:
    """An adapter ready to load.

    ``files`` are the model's files in loading order. ``lora`` is the GGUF LoRA to apply to
    the model; None for a variant, which is among ``files``, and for a soft prompt.
    ``n_tensors`` is the number of tensors of a model with a variant. ``report`` says what was
    made and why. ``converted``: whether it was made just now.
    """

    files: tuple[Path, ...]
    lora: Path | None
    n_tensors: int | None
    report: AdapterReport
    converted: bool
    entry: CacheEntry

    @property
    def form(self) -> Form:
        """``lora``, ``low-rank``, ``variant`` or ``soft-prompt``."""
        return self.report.form

    @property
    def is_variant(self) -> bool:
        """Whether the adapter is merged into the model's files."""
        return self.form == "variant"

    @property
    def soft_prompt(self) -> Path | None:
        """The file of the soft prompt that the adapter is; None for any other adapter."""
        return self.entry.path / FILE if self.form == "soft-prompt" else None

    @property
    def loss(self) -> AdapterLoss:
        """How much of the adapter's effect the form has lost."""
        return self.report.loss

    @property
    def size(self) -> int:
        """Bytes that the adapter takes on disk."""
        return self.report.bytes


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


def prepare_adapter(
    package: Package,
    base: Path,
    cache: Cache,
    options: AdapterOptions | None = None,
    *,
    float_weights: Callable[[], Path | None] = lambda: None,
    progress: Progress | None = None,
) -> PreparedAdapter:
    """Convert the package's adapter for the GGUF ``base``, or find the earlier result.

    ``float_weights`` returns the base's Hugging Face folder, if there is one. It is called
    only if the result depends on that folder. A plain LoRA does not depend on the base's
    weights, so all quantisations of one base share it.

    Raises ConversionError for an adapter that is damaged, of another base, or
    of a kind that cannot have the wanted form; LoadError or PackageError if the base
    or the package changes meanwhile.
    """
    options = options or AdapterOptions()
    parts = published_parts(base)
    state = SourceWatch(lambda: parts)
    check_model([base])
    header = read_gguf_header(base)
    key = digest_of("lora", lora.FORMAT_VERSION, package.digest, header.layout_digest)
    sources = [package.source]
    known = cache.reuse("adapters", key, sources=sources)
    if options.mode != "exact" and known is not None:
        return _prepared(known, base, cache, False)
    notes: tuple[str, ...] = ()
    builder: LoraBuilder | FormBuilder | SoftPromptBuilder
    if (own := own_soft_prompt(package)) is not None:
        key, builder = soft_prompt_key(package, own.name, header), SoftPromptBuilder(own, header)
    else:
        adapter = read_package_adapter(package, header)
        notes = adapter.notes
        if adapter.base_copies or not becomes_lora(adapter, header, options.mode):
            folder = float_weights()
            state = SourceWatch(lambda: [*parts, *_weight_files(folder)])
            form_key = _form_key(package, base, cache, options, folder)
        if adapter.base_copies:
            key = digest_of(key, "on copies", *fingerprints(base, cache))
            for made in (form_key,) if options.mode == "exact" else (key, form_key):
                if (known := cache.reuse("adapters", made, sources=sources)) is not None:
                    return _prepared(known, base, cache, False)
            with checkpoint_weights(folder) if folder else gguf_weights(base) as source:
                adapter = on_its_copies(adapter, header, source)
        if becomes_lora(adapter, header, options.mode):
            builder = LoraBuilder(adapter, header)
        else:
            key = form_key
            builder = FormBuilder(package, adapter, header, cache, options, folder, progress)

    def build(place: Path) -> dict[str, Any]:
        report = dataclasses.replace(builder.build(place), notes=notes)
        check_unchanged(package, cache)
        return {"expert": package.manifest.identity, "adapter": report.as_dict()}

    entry, built = cache.get_or_build("adapters", key, state.checked(build), sources=sources)
    return _prepared(entry, base, cache, built)


def _form_key(
    package: Package, base: Path, cache: Cache, options: AdapterOptions, folder: Path | None
) -> str:
    """The key of a form that depends on the base's weights, the float ones in ``folder``."""
    versions = (FORMS_VERSION, lora.FORMAT_VERSION, variant.FORMAT_VERSION)
    return digest_of(
        *("adapter", versions, package.digest, *fingerprints(base, cache)),
        *(dataclasses.asdict(options), [source_of(path) for path in _weight_files(folder)]),
        [dataclasses.astuple(text) for text in texts_of(package)[1]],
    )


def earlier_conversions(
    package: Package, cache: Cache
) -> Iterator[tuple[CacheEntry, AdapterReport]]:
    """What the cache holds of the package's adapter, for any base and in any form."""
    source = str(package.source.resolve())
    for entry in cache.entries("adapters"):
        facts = entry.info["adapter"]
        if source in [known["path"] for known in entry.sources] and is_recorded(facts):
            yield entry, report_from(facts)


def _weight_files(folder: Path | None) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if folder else []


def _prepared(entry: CacheEntry, base: Path, cache: Cache, built: bool) -> PreparedAdapter:
    report = report_from(entry.info["adapter"])
    for note in report.notes:
        logger.warning("%s: %s", entry.info["expert"], note)
    if not isinstance(report, VariantAdapterReport):
        lora = None if isinstance(report, SoftPromptReport) else entry.path / "adapter.gguf"
        return PreparedAdapter(published_parts(base), lora, None, report, built, entry)
    files = tuple(loading_order(base_parts(base, cache), entry.path))
    return PreparedAdapter(files, None, report.n_tensors, report, built, entry)
