"""Making a package's adapter ready for one base: which form, converted once.

Three forms:

*lora*: a GGUF LoRA, exact. For what is exactly low rank.
*low-rank*: a GGUF LoRA that approximates what is not (DoRA, IA³ …), with a
measured loss. A tenth of a variant's size; the natural form on a quantised base.
*variant*: the changed tensors, merged, beside the shared parts of the base. Exact
for everything, up to the type they are stored at; costs nothing per token.

`adapter_forms` chooses among them and says what is lost.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bases.parts import base_parts
from ..cache.input_state import InputState
from ..cache.store import Cache, CacheEntry, digest_of, source_of
from ..errors import PackageError
from ..package.opening import Package, open_package
from ..progress import Progress
from .loss import NOTHING_LOST, AdapterLoss, loss_of
from .options import AdapterOptions
from .texts import texts_of

if TYPE_CHECKING:
    from ..converters.gguf.header import GGUFHeader
    from ..converters.peft.adapter import Adapter
    from ..converters.peft.methods import Values

__all__ = [
    "AdapterOptions",
    "PreparedAdapter",
    "becomes_lora",
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
    def loss(self) -> AdapterLoss:
        """What of the adapter's effect the form has lost."""
        return loss_of(self.report)

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
    from ..converters.peft.adapter import read_adapter
    from ..converters.targets import find_targets

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
    from ..converters.forms import lora, variant
    from ..converters.gguf.check import check_model
    from ..converters.gguf.header import read_gguf_header
    from .forms import FORMS_VERSION, FormBuilder

    options = options or AdapterOptions()
    state = InputState(lambda: [base])
    check_model([base])
    header = read_gguf_header(base)
    lora_key = digest_of("lora", lora.FORMAT_VERSION, package.digest, header.layout_digest)
    sources = [package.source]
    known = cache.reuse("adapters", lora_key, sources=sources)
    if options.mode != "exact" and known is not None:
        return _prepared(known, base, cache, False)
    adapter = read_package_adapter(package, header)
    if becomes_lora(adapter, header, options.mode):
        key, build = lora_key, _lora_builder(package, adapter, header)
    else:
        folder = float_weights()
        versions = (FORMS_VERSION, lora.FORMAT_VERSION, variant.FORMAT_VERSION)

        def list_weights() -> list[Path]:
            return sorted(folder.glob("*.safetensors")) if folder else []

        state, weights = InputState(lambda: [base, *list_weights()]), list_weights()
        key = digest_of(
            *("adapter", versions, package.digest, cache.fingerprint(base)),
            *(dataclasses.asdict(options), [source_of(path) for path in weights]),
            [dataclasses.astuple(text) for text in texts_of(package)[1]],
        )
        form = FormBuilder(package, adapter, header, cache, options, folder, progress)

        def build(place: Path) -> Mapping[str, Any]:
            return _entry_info(package, form.build(place))

    build = state.checked(_of_unchanged(package, cache, build))
    entry, built = cache.get_or_build("adapters", key, build, sources=sources)
    return _prepared(entry, base, cache, built)


def becomes_lora(adapter: Adapter, header: GGUFHeader, mode: str) -> bool:
    """Whether a GGUF LoRA holds the adapter as it is. One that is asked for and impossible is
    an error of the conversion, which says why.
    """
    from .forms import lora_obstacle

    if mode == "exact" or not adapter.is_lora:
        return False
    return mode == "lora" or not lora_obstacle(adapter, header)


def _prepared(entry: CacheEntry, base: Path, cache: Cache, built: bool) -> PreparedAdapter:
    report = entry.info["adapter"]
    if report["form"] != "variant":
        return PreparedAdapter((base,), entry.path / "adapter.gguf", None, report, built, entry)
    from ..converters.forms.variant import loading_order

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


def _lora_builder(package: Package, adapter: Adapter, header: GGUFHeader) -> _Build:
    from ..converters.forms.lora import convert_lora

    def build(folder: Path) -> dict[str, Any]:
        report = convert_lora(adapter, header, folder / "adapter.gguf")
        facts = {
            "form": "lora",
            "methods": adapter.methods,
            "why": "it is exactly low rank",
            "error": 0.0,
            "loss": NOTHING_LOST.as_dict(),
            **report.as_dict(),
        }
        return _entry_info(package, facts)

    return build


def _entry_info(package: Package, report: Mapping[str, Any]) -> dict[str, Any]:
    return {"expert": package.manifest.identity, "adapter": report}
