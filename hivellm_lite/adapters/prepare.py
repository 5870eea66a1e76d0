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

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..bases.parts import base_parts
from ..cache.entries import CacheEntry
from ..cache.sources import SourceWatch
from ..cache.store import Cache
from ..converters.forms.variant_files import loading_order
from ..converters.gguf.check import check_model
from ..converters.gguf.header import GGUFHeader, read_gguf_header
from ..converters.gguf.published_parts import published_parts
from ..package.opening import Package
from ..progress import Progress
from .keys import SOFT_PROMPT_FILE, form_key, lora_key, lora_key_on_copies
from .loss import AdapterLoss, is_recorded
from .options import AdapterOptions
from .report import AdapterReport, Form, SoftPromptReport, VariantAdapterReport, report_from

logger = logging.getLogger("hivellm_lite")

__all__ = [
    "AdapterOptions",
    "PreparedAdapter",
    "earlier_conversions",
    "prepare_adapter",
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
        return self.entry.path / SOFT_PROMPT_FILE if self.form == "soft-prompt" else None

    @property
    def loss(self) -> AdapterLoss:
        """How much of the adapter's effect the form has lost."""
        return self.report.loss

    @property
    def size(self) -> int:
        """Bytes that the adapter takes on disk."""
        return self.report.bytes


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
    found = _known(package, base, header, cache, options, float_weights)
    if found is not None:
        return _prepared(found, base, cache, False)
    from .conversion import convert_adapter  # loads numpy and all that reads adapters

    entry, built = convert_adapter(
        package,
        base,
        header,
        cache,
        options,
        state=state,
        float_weights=float_weights,
        progress=progress,
    )
    return _prepared(entry, base, cache, built)


def _known(
    package: Package,
    base: Path,
    header: GGUFHeader,
    cache: Cache,
    options: AdapterOptions,
    float_weights: Callable[[], Path | None],
) -> CacheEntry | None:
    """An earlier conversion, found without reading the adapter."""
    keys = [] if options.mode == "exact" else [lora_key(package, header)]
    entry = next(filter(None, (_reuse(cache, key, package) for key in keys)), None)
    if entry is not None or not all(map(cache.knows_fingerprint, published_parts(base))):
        return entry  # a form that depends on the base's weights has left their fingerprint
    if options.mode != "exact":
        keys = [lora_key_on_copies(package, header, base, cache)]
    keys.append(form_key(package, base, cache, options, float_weights()))
    return next(filter(None, (_reuse(cache, key, package) for key in keys)), None)


def _reuse(cache: Cache, key: str, package: Package) -> CacheEntry | None:
    return cache.reuse("adapters", key, sources=[package.source])


def earlier_conversions(
    package: Package, cache: Cache
) -> Iterator[tuple[CacheEntry, AdapterReport]]:
    """What the cache holds of the package's adapter, for any base and in any form."""
    source = str(package.source.resolve())
    for entry in cache.entries("adapters"):
        facts = entry.info["adapter"]
        if source in [known["path"] for known in entry.sources] and is_recorded(facts):
            yield entry, report_from(facts)


def _prepared(entry: CacheEntry, base: Path, cache: Cache, built: bool) -> PreparedAdapter:
    report = report_from(entry.info["adapter"])
    for note in report.notes:
        logger.warning("%s: %s", entry.info["expert"], note)
    if not isinstance(report, VariantAdapterReport):
        lora = None if isinstance(report, SoftPromptReport) else entry.path / "adapter.gguf"
        return PreparedAdapter(published_parts(base), lora, None, report, built, entry)
    files = tuple(loading_order(base_parts(base, cache), entry.path))
    return PreparedAdapter(files, None, report.n_tensors, report, built, entry)
