"""``hivellm-lite convert``: make the GGUF files of a package ahead of its first use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    adapter_options,
    base_options,
    json_option,
    no_verify_option,
    package_argument,
    progress_bar,
)
from .output import print_json, print_line

if TYPE_CHECKING:
    from ..adapters.prepare import PreparedAdapter
    from ..bases.search import BaseFile
    from ..package.opening import Package

__all__ = ["convert"]


@click.command()
@package_argument
@base_options
@adapter_options
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also copy the adapter's GGUF here (not for a variant).",
)
@no_verify_option
@json_option
@click.pass_obj
def convert(
    settings: dict[str, Any],
    package: str,
    base: str | None,
    quantization: str,
    offline: bool,
    output: str | None,
    no_verify: bool,
    adapter_mode: str,
    extra_rank: int | None,
    variant_type: str | None,
    force: bool,
    float_weights: str | None,
    as_json: bool,
) -> None:
    """Convert the adapter in PACKAGE, and its base if that is a Hugging Face folder.

    The results are kept in the cache, where 'run' finds them.
    """
    from ..adapters.prepare import AdapterOptions, prepare_adapter
    from ..bases.search import find_base, find_float_weights
    from ..cache.store import Cache, copy_whole
    from ..hub import Hub, locate_package
    from ..package.opening import open_package

    started = time.perf_counter()
    cache = Cache(settings["cache_dir"])
    hub = Hub.from_environment(offline=offline)
    with progress_bar() as progress:

        def work() -> tuple[Package, BaseFile, PreparedAdapter]:
            path = locate_package(package, hub=hub, progress=progress)
            opened = open_package(path, cache=cache, verify=not no_verify)
            base_file = find_base(
                opened,
                given=base,
                cache=cache,
                quantization=quantization,
                progress=progress,
                hub=hub,
            )

            def find_weights() -> Path | None:
                if float_weights is not None:
                    return Path(float_weights)
                return find_float_weights(opened, given=base, cache=cache, hub=hub)

            adapter = prepare_adapter(
                opened,
                base_file.path,
                cache,
                AdapterOptions(adapter_mode, extra_rank, variant_type, force),
                float_weights=find_weights,
                progress=progress,
            )
            return opened, base_file, adapter

        opened, base_file, adapter = cache.heal(work)
    if output is not None:
        if adapter.lora is None:
            raise click.UsageError(
                "--output copies a GGUF LoRA; this adapter became a variant, which is several files"
            )
        copy_whole(adapter.lora, output)
    place = output or str(adapter.lora or adapter.entry.path)
    facts: dict[str, Any] = {
        "expert": opened.manifest.identity,
        "base": str(base_file.path),
        "base_converted": base_file.converted,
        "base_origin": base_file.origin,
        "base_revision": base_file.revision,
        "base_notes": list(base_file.notes),
        "base_sha256_matches": base_file.has_digest(opened.manifest.base.sha256),
        "adapter": place,
        "adapter_form": adapter.form,
        "adapter_converted": adapter.converted,
        "adapter_bytes": adapter.size,
        "seconds": round(time.perf_counter() - started, 3),
        "loss": adapter.loss.as_dict(),
        "report": adapter.report.as_dict(),
    }
    if as_json:
        print_json(facts)
        return
    done = "converted" if adapter.converted else "already converted"
    print_line(f"{facts['expert']}: {done} to {adapter.report}")
    print_line(f"  because  {adapter.report.why}")
    print_line(f"  loses    {adapter.loss}")
    print_line(f"  adapter  {place} ({adapter.size / 1e6:.1f} MB)")
    print_line(f"  base     {facts['base']}{' (converted)' if base_file.converted else ''}")
    for note in base_file.notes:
        print_line(f"  note     {note}")
    print_line(f"  took     {facts['seconds']:.2f} s")
