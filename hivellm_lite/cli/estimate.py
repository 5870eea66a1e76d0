"""``hivellm-lite estimate``: the memory that experts will take, without loading them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..adapters.conversion import becomes_lora, read_package_adapter
from ..adapters.options import MODES
from ..adapters.prepare import earlier_conversions
from ..adapters.soft_prompt_conversion import own_soft_prompt
from ..bases.search import find_base
from ..cache.store import Cache
from ..converters.forms.fitting import find_targets
from ..converters.forms.lora import stored_rank
from ..converters.gguf.header import read_gguf_header
from ..converters.gguf.published_parts import published_parts
from ..converters.soft_prompts import read_soft_prompt
from ..engine.options import ContextOptions
from ..errors import ConversionError
from ..hub import Hub
from ..inference.options import SessionOptions
from ..memory_estimate import MemoryEstimate, estimate_memory, parse_bytes
from ..package.opening import Package
from ..process.memory_limits import available_memory
from .options import base_options, checking_options, json_option, progress_bar
from .output import print_json, print_line
from .packages import named_packages, open_packages, packages_argument

__all__ = ["estimate"]

BYTES_OF_LORA = 4
"""Of each number: a converted LoRA is float32."""

BYTES_OF_VARIANT = 2
"""Of each number: what a variant takes, unless a change is so small that it needs float32."""


@dataclass(frozen=True)
class AdapterEstimate:
    """``form`` as in the report of a conversion, ``size`` in bytes, ``known`` says from where."""

    name: str
    expert: str
    form: str
    size: int
    known: str


@dataclass(frozen=True)
class BaseEstimate:
    """One base and the experts on it. LoRAs share one context; each variant has its own."""

    path: Path
    parts: MemoryEstimate
    contexts: int
    adapters: tuple[AdapterEstimate, ...]

    @property
    def total(self) -> int:
        context = self.parts.kv_cache + self.parts.compute
        return self.parts.weights + self.contexts * context + sum(a.size for a in self.adapters)


@dataclass(frozen=True)
class OwnContexts:
    """Contexts that experts asked often get for themselves on a device where swaps are dear.

    ``each``: bytes of one. ``at_most``: how many fit into half of what is free. They are not in
    the total, because they are given up where others need their memory.
    """

    experts: int
    each: int
    at_most: int


@click.command()
@packages_argument
@base_options
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="As in run; auto takes a GPU if there is one.",
)
@click.option("--n-ctx", type=int, default=2048, show_default=True, help="Context in tokens.")
@click.option("--kv-type", default="f16", show_default=True, help="KV cache: f32, f16, bf16, q8_0.")
@click.option(
    "--streams",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Answers computed together, each with a whole context.",
)
@click.option(
    "--adapter-mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="As in run.",
)
@click.option(
    "--limit", metavar="SIZE", help="Compare with this, such as 4GB [default: what is free here]."
)
@checking_options
@json_option
@click.pass_obj
def estimate(
    settings: dict[str, Any],
    /,
    packages: tuple[str, ...],
    base: str | None,
    quantization: str,
    pre_tokenizer: str | None,
    offline: bool,
    device: str,
    n_ctx: int,
    kv_type: str,
    streams: int,
    adapter_mode: str,
    limit: str | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Print how much memory the experts in PACKAGE... take together, part by part.

    No model is loaded and no base is downloaded. A base that is a Hugging Face folder
    is converted first. On a GPU its free memory counts, and the contexts that experts
    asked often may get for themselves are shown. Exits with 1 if the experts
    do not fit.
    """
    options = SessionOptions(ContextOptions(n_ctx, kv_type=kv_type), max_streams=streams)
    on_device = _device_memory(device)
    available = parse_bytes(limit) if limit else on_device or available_memory()
    opened = open_packages(
        settings, named_packages(packages), verify=not no_verify, offline=offline
    )
    search = {"given": base, "quantization": quantization, "pre_tokenizer": pre_tokenizer}
    bases = list(_bases(opened, settings, options, adapter_mode, search))
    total = sum(one.total for one in bases)
    fits = None if available is None else total <= available
    own = [own_contexts(one, available - total) for one in bases if on_device and available]
    if as_json:
        facts = [_facts(one) for one in bases]
        for place, one in enumerate(facts):
            one["own_contexts"] = dataclasses.asdict(own[place]) if own else None
        print_json({"bases": facts, "total": total, "available": available, "fits": fits})
    else:
        _print(bases, own, options, total, available, "allowed" if limit else "free")
    if fits is False:
        raise click.exceptions.Exit(1)


def _device_memory(device: str) -> int | None:
    """Bytes that are free on the GPU that ``device`` means; None for a CPU."""
    if device == "cpu":
        return None
    from ..engine.device import free_memory  # loads llama.cpp

    return free_memory(device)


def own_contexts(base: BaseEstimate, free: int) -> OwnContexts:
    """What the experts on a base that share a context may get beside it."""
    n_sharing = sum(adapter.form != "variant" for adapter in base.adapters)
    each = base.parts.kv_cache + base.parts.compute
    return OwnContexts(n_sharing, each, min(max(0, n_sharing - 1), max(0, free) // 2 // each))


def _bases(
    packages: Mapping[str, Package],
    settings: Mapping[str, Any],
    options: SessionOptions,
    mode: str,
    search: Mapping[str, Any],
) -> Iterator[BaseEstimate]:
    cache, hub = Cache(settings["cache_dir"]), Hub.from_environment(offline=True)
    found: dict[Path, list[AdapterEstimate]] = {}
    with progress_bar() as progress:
        for name, package in packages.items():
            base = find_base(package, cache=cache, hub=hub, progress=progress, **search)
            path = base.path.absolute()  # links stay: parts are found by their names
            adapter = _adapter(name, package, path, cache, mode)
            beside = _bytes_beside(package) if adapter.form != "soft-prompt" else 0
            adapter = dataclasses.replace(adapter, size=adapter.size + beside)
            found.setdefault(path, []).append(adapter)
    for path, adapters in found.items():
        n_variants = sum(adapter.form == "variant" for adapter in adapters)
        parts = estimate_memory(published_parts(path), options, n_streams=options.max_streams)
        contexts = n_variants + (n_variants < len(adapters))
        yield BaseEstimate(path, parts, contexts, tuple(adapters))


def _adapter(name: str, package: Package, base: Path, cache: Cache, mode: str) -> AdapterEstimate:
    """The form and size that a conversion would give, without converting.

    The size of a LoRA follows from its tensors. The form of other adapters is decided during
    the conversion; until then the larger of the possible forms is assumed.
    """
    expert = package.manifest.identity
    if (own := own_soft_prompt(package)) is not None:
        n_bytes = read_soft_prompt(own.weights, own.config).nbytes
        return AdapterEstimate(name, expert, "soft-prompt", n_bytes, "estimated")
    adapter = read_package_adapter(package, values="skip")
    header = read_gguf_header(base)
    targets = find_targets(adapter, header)
    pairs = [(rank, sum(target.shape)) for target, u in targets if (rank := u.rank) is not None]
    low_rank = sum(BYTES_OF_LORA * stored_rank(rank) * size for rank, size in pairs)
    if becomes_lora(adapter, header, mode):
        return AdapterEstimate(name, expert, "lora", low_rank, "estimated")
    reports = [report for _, report in earlier_conversions(package, cache)]
    before = [report for report in reports if _may_be(report.form, mode)]
    if before:
        largest = max(before, key=lambda report: report.bytes)
        return AdapterEstimate(name, expert, largest.form, largest.bytes, "converted before")
    if mode == "lora" and len(pairs) == len(targets):
        return AdapterEstimate(name, expert, "low-rank", low_rank, "estimated, without extra ranks")
    shapes = {target.gguf_name: target.shape for target, _ in targets}
    merged = sum(BYTES_OF_VARIANT * math.prod(shape) for shape in shapes.values())
    return AdapterEstimate(name, expert, "variant", merged, "estimated, at float16")


def _bytes_beside(package: Package) -> int:
    """Bytes of the soft prompt that the manifest lists first, if it can be read."""
    for files in package.soft_prompts[:1]:
        with contextlib.suppress(ConversionError):
            return read_soft_prompt(files.weights, files.config).nbytes
    return 0


def _may_be(form: str, mode: str) -> bool:
    return mode == "auto" or (form == "variant") == (mode == "exact")


def _facts(base: BaseEstimate) -> dict[str, Any]:
    return {
        "base": str(base.path),
        "weights": base.parts.weights,
        "contexts": base.contexts,
        "kv_cache": base.contexts * base.parts.kv_cache,
        "compute": base.contexts * base.parts.compute,
        "adapters": [dataclasses.asdict(adapter) for adapter in base.adapters],
        "total": base.total,
    }


def _print(
    bases: list[BaseEstimate],
    own: list[OwnContexts],
    options: SessionOptions,
    total: int,
    available: int | None,
    available_is: str,
) -> None:
    context = options.context
    streams = f"{options.max_streams} × {context.n_ctx} positions, {context.kv_type}"
    rows: list[tuple[str, int | None, str]] = []
    for base in bases:
        of = f", {base.contexts} contexts" if base.contexts > 1 else ""
        rows += [
            ("base", base.parts.weights, f"{base.path.name}, once for all experts"),
            ("KV cache", base.contexts * base.parts.kv_cache, streams + of),
            ("compute", base.contexts * base.parts.compute, f"at most{of}"),
        ]
        rows += [
            ("adapter", a.size, f"{a.name}: {a.expert}, {a.form} ({a.known})")
            for a in base.adapters
        ]
    rows += [("total", total, ""), (available_is, available, "")]
    for contexts in own:
        remark = f"each: up to {contexts.at_most} of {contexts.experts} experts, not in the total"
        rows.append(("own", contexts.each, f"context, {remark}"))
    for label, size, remark in rows:
        amount = "unknown" if size is None else f"{size / 1e6:,.1f} MB"
        print_line(f"{label:<9} {amount:>14}  {remark}".rstrip())
    if available is not None:
        missing = total - available
        print_line("It fits." if missing <= 0 else f"It does not fit: {missing / 1e6:,.1f} MB more")
