"""Making a package's adapter ready for one base: which form, converted once.

Three forms:

*lora*: a GGUF LoRA, exact. For what is exactly low rank.
*low-rank*: a GGUF LoRA that approximates what is not (DoRA, IA³ …), with a
measured error. A tenth of a variant's size; the natural form on a quantised base.
*variant*: the changed tensors, merged, beside the shared parts of the base. Exact
for everything, up to the type they are stored at; costs nothing per token.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapter_options import AdapterOptions
from .base_parts import base_parts
from .cache import Cache, CacheEntry, digest_of, source_of
from .errors import ConversionError, OutOfMemoryError, PackageError
from .input_state import InputState
from .package import Package, open_package
from .progress import Progress

if TYPE_CHECKING:
    from .converters.gguf_header import GGUFHeader
    from .converters.low_rank_adapter import LowRankAdapter
    from .converters.peft import Adapter
    from .converters.peft_methods import Values
    from .converters.targets import Target
    from .converters.updates import Update
    from .converters.weights import GGUFWeights, WeightSource

__all__ = [
    "AdapterOptions",
    "PreparedAdapter",
    "prepare_adapter",
    "read_package_adapter",
]


@dataclass(frozen=True)
class PreparedAdapter:
    """An adapter ready to load.

    ``files`` are those of the model, ``lora`` the GGUF LoRA to apply on it (None for
    a variant, whose ``files`` hold it). ``n_tensors`` of a variant. ``report`` says
    what was made, why, and how exact it is; ``converted`` whether it was just now.
    """

    files: tuple[Path, ...]
    lora: Path | None
    n_tensors: int | None
    report: Mapping[str, Any]
    converted: bool
    entry: CacheEntry

    @property
    def form(self) -> str:
        """``lora``, ``low-rank`` or ``variant``."""
        return str(self.report["form"])

    @property
    def size(self) -> int:
        """Bytes that the adapter takes on disk."""
        return int(self.report["bytes"])


def read_package_adapter(
    package: Package, base: GGUFHeader | None = None, *, values: Values = "keep"
) -> Adapter:
    """The adapter's tensors; ``values`` as for ``read_adapter``.

    With ``base`` no number is read before all shapes are those of the base, so that an
    adapter takes memory in proportion to it. Raises ConversionError for what cannot be used.
    """
    from .converters.peft import read_adapter
    from .converters.targets import find_targets

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

    ``float_weights`` is asked for the base's Hugging Face folder, and only where the
    result depends on it. A plain LoRA does not depend on the base's weights, so
    all quantisations of one base share it.

    Raises ConversionError for an adapter that is damaged, of another base, or
    of a kind that cannot have the wanted form; LoadError or PackageError where the base
    or the package changes meanwhile.
    """
    from .converters import lora, low_rank_adapter, variant
    from .converters.gguf_header import read_gguf_header

    options = options or AdapterOptions()
    state = InputState(lambda: [base])
    header = read_gguf_header(base)
    lora_key = digest_of("lora", lora.FORMAT_VERSION, package.digest, header.layout_digest)
    sources = [package.source]
    known = cache.reuse("adapters", lora_key, sources=sources)
    if options.mode != "exact" and known is not None:
        return _prepared(known, base, cache, False)
    adapter = read_package_adapter(package, header)
    if options.mode != "exact" and adapter.is_lora:
        key, build = lora_key, _lora_builder(package, adapter, header)
    else:
        folder = float_weights()
        versions = (lora.FORMAT_VERSION, variant.FORMAT_VERSION, low_rank_adapter.EXTRA_RANKS)

        def list_weights() -> list[Path]:
            return sorted(folder.glob("*.safetensors")) if folder else []

        state, weights = InputState(lambda: [base, *list_weights()]), list_weights()
        key = digest_of(
            *("adapter", versions, package.digest, cache.fingerprint(base)),
            *(dataclasses.asdict(options), [source_of(path) for path in weights]),
        )
        build = _builder(package, adapter, header, cache, options, folder, progress)
    build = state.checked(_of_unchanged(package, cache, build))
    entry, built = cache.get_or_build("adapters", key, build, sources=sources)
    return _prepared(entry, base, cache, built)


def _prepared(entry: CacheEntry, base: Path, cache: Cache, built: bool) -> PreparedAdapter:
    report = entry.info["adapter"]
    if report["form"] != "variant":
        return PreparedAdapter((base,), entry.path / "adapter.gguf", None, report, built, entry)
    from .converters.variant import loading_order

    files = tuple(loading_order(base_parts(base, cache), entry.path))
    return PreparedAdapter(files, None, report["n_tensors"], report, built, entry)


_Build = Callable[[Path], Mapping[str, Any]]


def _of_unchanged(package: Package, cache: Cache, build: _Build) -> _Build:
    """``build``, unless the package is a folder and changes: its files are read where they are."""
    if package.root != package.source:
        return build

    def build_and_check(folder: Path) -> Mapping[str, Any]:
        info = build(folder)
        if open_package(package.source, cache=cache).digest != package.digest:
            raise PackageError(f"{package.source} was changed while it was converted\nTry again.")
        return info

    return build_and_check


def _entry_info(package: Package, **report: Any) -> dict[str, Any]:
    return {"expert": package.manifest.identity, "adapter": report}


def _lora_builder(package: Package, adapter: Adapter, header: GGUFHeader) -> _Build:
    from .converters.lora import convert_lora

    def build(folder: Path) -> dict[str, Any]:
        report = convert_lora(adapter, header, folder / "adapter.gguf")
        return _entry_info(
            package,
            form="lora",
            methods=adapter.methods,
            why="it is exactly low rank",
            error=0.0,
            **report.as_dict(),
        )

    return build


def _builder(
    package: Package,
    adapter: Adapter,
    header: GGUFHeader,
    cache: Cache,
    options: AdapterOptions,
    float_folder: Path | None,
    progress: Progress | None,
) -> _Build:
    """Measure, choose and write the low-rank form or the variant."""
    from .converters.low_rank_adapter import EXTRA_RANKS, write_low_rank
    from .converters.targets import find_targets
    from .converters.weights import gguf_weights

    updates = find_targets(adapter, header)
    obstacle = _obstacle(adapter, header)
    if options.mode == "lora" and obstacle:
        raise ConversionError(f"adapter_mode='lora' is not possible: {obstacle}")

    def build(folder: Path) -> dict[str, Any]:
        with gguf_weights(header.path) as base, _source(float_folder, header) as source:
            measured = None
            if options.mode != "exact" and not obstacle:
                measured = _measure(updates, base, source, options, progress)
                budget = measured.base_error
                rank = options.extra_rank
                if rank is None:
                    rank = measured.smallest_rank_within(budget)
                if rank is None and options.mode == "lora":
                    rank = EXTRA_RANKS[-1]
                if rank is not None:
                    write_low_rank(measured, rank, header, folder / "adapter.gguf")
                    return _entry_info(
                        package,
                        form="low-rank",
                        methods=adapter.methods,
                        why=_compared(measured.error(rank), budget, measured.base_measured),
                        extra_rank=rank,
                        error=measured.error(rank),
                        delta_error=measured.delta_error(rank),
                        base_error=budget,
                        base_error_measured=measured.base_measured,
                        source=measured.source,
                        bytes=(folder / "adapter.gguf").stat().st_size,
                    )
            if options.mode == "exact":
                why = "adapter_mode='exact'"
            elif obstacle or measured is None:
                why = obstacle
            else:
                why = _too_large(measured)
            return _variant(folder, updates, source, why)

    def _variant(
        folder: Path, updates: list[tuple[Target, Update]], source: WeightSource, why: str
    ) -> dict[str, Any]:
        from .converters.variant import convert_variant, variant_type

        kind = variant_type(source, options.variant_type, force=options.force)
        parts = base_parts(header.path, cache, progress)
        report = convert_variant(
            updates,
            header,
            [part.name for part in parts],
            source,
            folder,
            quantization=kind,
            progress=_labelled(progress, "Merging the variant"),
        )
        return _entry_info(
            package,
            form="variant",
            methods=adapter.methods,
            why=why,
            **dataclasses.asdict(report),
        )

    def guarded(folder: Path) -> dict[str, Any]:
        try:
            return build(folder)
        except MemoryError:
            raise OutOfMemoryError(
                f"not enough memory to convert {package.manifest.identity}: "
                "the largest adapted tensor does not fit several times in float32"
            ) from None

    return guarded


def _obstacle(adapter: Adapter, header: GGUFHeader) -> str:
    """Why there is no low-rank form of this adapter on this base; empty if there is one."""
    from .converters.targets import find_targets

    try:
        find_targets(adapter, header, for_lora=True)
    except ConversionError as error:
        return str(error).splitlines()[0].split(": ", 1)[-1]
    return ""


def _source(folder: Path | None, header: GGUFHeader) -> AbstractContextManager[WeightSource]:
    from .converters.weights import checkpoint_weights, gguf_weights

    return checkpoint_weights(folder) if folder is not None else gguf_weights(header.path)


def _compared(error: float, budget: float, measured: bool) -> str:
    how = "" if measured else ", estimated from its types"
    verb = "is below" if error < budget else "is not below"
    return (
        f"the low-rank form's error of {error:.1e} {verb} what the base's quantisation costs "
        f"({budget:.1e}{how})"
    )


def _measure(
    updates: list[tuple[Target, Update]],
    base: GGUFWeights,
    source: WeightSource,
    options: AdapterOptions,
    progress: Progress | None,
) -> LowRankAdapter:
    """The low-rank form with as many extra ranks as may be needed; without any if they are
    not, which spares decomposing every weight.
    """
    from .converters.low_rank_adapter import EXTRA_RANKS, measure_low_rank

    report = _labelled(progress, "Measuring the adapter")
    if not options.extra_rank:
        plain = measure_low_rank(updates, base, source, max_extra_rank=0, progress=report)
        if options.extra_rank == 0 or plain.error(0) < plain.base_error:
            return plain
    return measure_low_rank(
        updates,
        base,
        source,
        max_extra_rank=max(options.extra_rank or 0, EXTRA_RANKS[-1]),
        may_give_up=options.mode == "auto" and options.extra_rank is None,
        progress=report,
    )


def _too_large(measured: LowRankAdapter) -> str:
    """Why no extra rank is good enough and small enough."""
    from .converters.low_rank_adapter import EXTRA_RANKS

    error = measured.error(EXTRA_RANKS[-1])
    if error >= measured.base_error:
        why = _compared(error, measured.base_error, measured.base_measured)
        n = len(measured.forms)
        return why if measured.complete else f"on the first {n} tensors {why}"
    return "a low-rank form that is exact enough would be larger than the merged tensors"


def _labelled(progress: Progress | None, label: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(label, done, total)
