"""``hivellm-lite convert``: make the GGUF files of a package ahead of its first use."""

from __future__ import annotations

import time
from typing import Any

import click

from .options import (
    base_options,
    json_option,
    no_verify_option,
    package_argument,
    print_json,
    progress_bar,
)

__all__ = ["convert"]


@click.command()
@package_argument
@base_options
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also copy the adapter's GGUF here.",
)
@no_verify_option
@json_option
@click.pass_obj
def convert(
    settings: dict[str, Any],
    package: str,
    base: str | None,
    quantization: str,
    output: str | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Convert the adapter in PACKAGE, and its base if that is a Hugging Face folder.

    The results are kept in the cache, where 'run' finds them.
    """
    from ..adapters import prepare_adapter
    from ..bases import find_base
    from ..cache import Cache, copy_whole
    from ..package import open_package

    started = time.perf_counter()
    cache = Cache(settings["cache_dir"])
    opened = open_package(package, cache=cache, verify=not no_verify)
    with progress_bar() as progress:
        base_file = find_base(
            opened, given=base, cache=cache, quantization=quantization, progress=progress
        )
    adapter = prepare_adapter(opened, base_file.path, cache)
    if output is not None:
        copy_whole(adapter.path, output)
    facts = {
        "expert": opened.manifest.identity,
        "base": str(base_file.path),
        "base_converted": base_file.converted,
        "adapter": output or str(adapter.path),
        "adapter_converted": adapter.converted,
        "adapter_bytes": adapter.path.stat().st_size,
        "seconds": round(time.perf_counter() - started, 3),
        "report": dict(adapter.report),
    }
    if as_json:
        print_json(facts)
        return
    done = "converted" if adapter.converted else "already converted"
    click.echo(f"{facts['expert']}: adapter {done}, {facts['adapter_bytes'] / 1e6:.1f} MB")
    click.echo(f"  adapter  {facts['adapter']}")
    click.echo(f"  base     {facts['base']}{' (converted)' if base_file.converted else ''}")
    for name, value in adapter.report.items():
        click.echo(f"  {name:<8} {value}")
    click.echo(f"  took     {facts['seconds']:.2f} s")
